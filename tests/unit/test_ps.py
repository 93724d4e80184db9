"""`lastwords ps`: the form of its table, and what it takes for Python over recorded /proc roots."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lastwords.capture import permission, procfs, python_processes
from lastwords.capture.python_processes import Found, PythonProcess, find_python_processes
from lastwords.cli import main, ps
from lastwords.cli.ps import format_table, format_unseen

GOLDEN = Path(__file__).parents[1] / "golden" / "ps_table.txt"
STATUS = """\
Name:\t{name}
State:\tS
PPid:\t1
TracerPid:\t{tracer}
Uid:\t{uid}\t{uid}\t{uid}\t{uid}
Threads:\t3
CapPrm:\t0
"""
NO_SUCH_USER = 4_000_000_000


def process(pid: int, argv: str, **more: object) -> PythonProcess:
    plain = {
        "ppid": 1, "version": "3.11.7", "implementation": "CPython", "executable": "/usr/bin/python", "threads": 1,
        "user": "web", "may_attach": True,
    }  # fmt: skip
    return PythonProcess(pid=pid, argv=argv.split(" "), **{**plain, **more})  # type: ignore[arg-type]


FOUND = Found(
    [
        process(7, "/usr/bin/python app.py --port 8000", threads=12),
        process(4711, "gunicorn: master [app:a]", version="3.15.0a2", user="a-longer-name"),
        process(4712, "/opt/python2.7 " + "x" * 100, version="2.7"),
        process(4800, "python3 \x1b[31mred \udcff", version=None, implementation=None, may_attach=False,
                obstacle="it belongs to user 0, lastwords runs as user 1000 without CAP_SYS_PTRACE",
                mend="sudo lastwords doctor 4800"),
        process(4801, "python3 two", may_attach=False,
                obstacle="it belongs to user 0, lastwords runs as user 1000 without CAP_SYS_PTRACE",
                mend="sudo lastwords doctor 4801"),
        process(4900, "pypy3 x.py", version=None, implementation="PyPy", may_attach=False,
                obstacle="it is PyPy; lastwords reads CPython with a GIL alone", mend="gdb -p 4900"),
    ],
    3,
)  # fmt: skip


def test_the_table() -> None:
    lines = [*format_table(FOUND.processes, 72), *format_unseen(FOUND.unseen, 1000), *format_unseen(1, 0)]
    text = "".join(f"{line}\n" for line in lines)
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
    assert max(map(len, lines[:7])) == 72


def test_nothing_is_shortened_where_there_is_no_terminal() -> None:
    assert any(line.endswith("x" * 100) for line in format_table(FOUND.processes, None))


def test_none() -> None:
    assert list(format_table([], 80)) == ["There is no other Python process here."]
    assert list(format_unseen(0, 1000)) == []


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(ps, "find_python_processes", lambda: FOUND)
    assert main(["ps"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["PID", "PYTHON", "THREADS", "USER", "ATTACH", "COMMAND"]
    path = tmp_path / "list.json"
    assert main(["ps", "--json", str(path)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("\n3 processes may not be looked at by user ")
    listed = json.loads(path.read_text())
    assert [one["pid"] for one in listed] == [7, 4711, 4712, 4800, 4801, 4900]
    assert listed[3]["argv"] == ["python3", "\x1b[31mred", "\\udcff"]
    assert main(["ps", "-q", "--json", "-"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == listed
    assert shown.err == ""


def record(proc: Path, pid: int, argv: str, maps: str | None, *, uid: int = NO_SUCH_USER, tracer: int = 0) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "cmdline").write_bytes(argv.replace(" ", "\0").encode() + b"\0" * bool(argv))
    (folder / "status").write_text(STATUS.format(name=argv.split(" ", maxsplit=1)[0], uid=uid, tracer=tracer))
    (folder / "root").symlink_to("/")
    if maps is not None:
        (folder / "maps").write_text(maps)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Processes by their pids: see the tests."""
    ours = Path("/proc/self/maps").read_text()
    record(tmp_path, 10, "whatever it is called", ours)
    record(tmp_path, 11, "/usr/bin/python3 app.py", None)
    record(tmp_path, 12, "/usr/bin/secret", None)
    record(tmp_path, 13, "sh -c python", "00400000-00401000 r-xp 00000000 00:01 12   /bin/no such file\n")
    record(tmp_path, 14, "", "")
    record(tmp_path, 15, "traced", ours, tracer=10)
    record(tmp_path, os.getpid(), "lastwords ps", ours)
    return tmp_path


@pytest.fixture
def found(proc: Path, monkeypatch: pytest.MonkeyPatch) -> Found:
    """As a user sees them who may not read the maps of 11 and 12."""
    real = procfs.read_bytes

    def read_bytes(pid: int, name: str, proc: Path) -> bytes:
        if name == "maps" and pid in (11, 12):
            raise PermissionError(13, "no")
        return real(pid, name, proc)

    monkeypatch.setattr(procfs, "read_bytes", read_bytes)
    return find_python_processes(proc)


def test_python_is_what_has_mapped_it(found: Found) -> None:
    assert [(one.pid, one.implementation) for one in found.processes] == [(10, "CPython"), (11, None), (15, "CPython")]
    assert found.processes[0].version == sys.version.split()[0]
    assert found.processes[0].argv == ["whatever", "it", "is", "called"]
    assert found.processes[0].user == str(NO_SUCH_USER)
    assert found.processes[0].threads == 3


def test_what_may_not_be_looked_at_is_counted(found: Found) -> None:
    assert found.unseen == 1


def test_why_one_may_not_be_read(found: Found) -> None:
    """Here nothing is known to forbid it: a recorded /proc has our own rights."""
    assert [one.may_attach for one in found.processes] == [True, False, True]
    assert (
        found.processes[1].obstacle
        == "the kernel does not show why (a security module, a process that is not dumpable)"
    )
    assert found.processes[2].obstacle == "process 10 traces it already, so it is read without being stopped"


def test_versions_in_texts() -> None:
    texts = b"\x00/opt/13.8.18\x00/opt/3.8.18\x003.8.18\x00 3.8.1 \x002.7.18rc1+\x003.80.1\x003.8.x\x00"
    assert list(python_processes._versions_of("3.8", texts)) == ["3.8.18", "3.8.18"]
    assert list(python_processes._versions_of("2.7", texts)) == ["2.7.18rc1"]
    assert list(python_processes._versions_of("3.6", b"")) == []


def test_another_user_namespace_is_seen(tmp_path: Path) -> None:
    for pid, name in (("5", "user:[2]"), ("self", "user:[1]")):
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "ns/user").symlink_to(name)
    (tmp_path / "5/status").write_text(STATUS.format(name="x", uid=5, tracer=0))
    assert permission.read_tracee(5, tmp_path).other_user_namespace
    assert not permission.read_tracee(5, tmp_path, is_child=True).other_user_namespace


def test_a_started_process_is_listed() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        listed = {one.pid: one for one in find_python_processes().processes}
        child.communicate(b"\n")
    assert os.getpid() not in listed
    assert listed[child.pid].argv[1:] == ["-c", "input()"]
