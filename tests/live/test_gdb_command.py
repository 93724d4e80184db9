"""`lastwords gdb`: a terminal with a gdb in it that shows what lastwords reads; the process runs on afterwards."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from dumps import gdb_core
from environments import Environment
from harness import TARGETS, Target, name_values, running, wait_until, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture import procfs
from lastwords.cli import main
from needs import need
from nobody import as_nobody

Start = Callable[..., Target]
Output = pytest.CaptureFixture[str]
GOLDEN = Path(__file__).parents[1] / "golden"
COMMANDS = Path(__file__).parents[2] / "gdb_scripts" / "commands.py"
PROMPT = "(gdb) "
ONE = pytest.mark.interpreters("symbols", minors=("3.11",))
RAISES = (
    "import sys\n"
    "def fail(): raise KeyError('what is missing')\n"
    "try: fail()\n"
    "except KeyError: sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gdbinit and no history of whoever runs the tests."""
    need(shutil.which("gdb"), "gdb")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LASTWORDS_GDB", raising=False)


@contextmanager
def terminal(*words: str) -> Iterator[pexpect.spawn[str]]:
    """`lastwords gdb` on a terminal, at gdb's prompt; hung up in the end."""
    there = pexpect.spawn(
        sys.executable, ["-m", "lastwords", "gdb", *words], encoding="utf-8", timeout=60, dimensions=(31, 97),
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    there.delaybeforesend = None
    try:
        there.expect_exact(PROMPT)
        yield there
    finally:
        there.close(force=True)


def ask(there: pexpect.spawn[str], command: str) -> str:
    """What gdb answers, page after page."""
    there.sendline(command)
    there.expect_exact(f"{command}\r\n")
    said = ""
    while there.expect_exact([PROMPT, "--Type <RET>"]) == 1:
        said += str(there.before)
        there.sendline("c")
        there.expect_exact("c\r\n")
    return said + str(there.before)


def leave(there: pexpect.spawn[str]) -> int | None:
    there.sendline("quit")
    if there.expect_exact(["Quit anyway? (y or n) ", pexpect.EOF]) == 0:
        there.sendline("y")
        there.expect(pexpect.EOF)
    there.close()
    return there.exitstatus


def check_that_it_runs_on(target: Target) -> None:
    wait_until(lambda: procfs.read_status(target.pid).tracer_pid == 0, "nobody traces it")
    wait_until(lambda: procfs.read_status(target.pid).state == "S", "it is not stopped")
    assert target.process.poll() is None


@pytest.fixture
def deadlocked(interpreter: Interpreter, start_target: Start) -> Target:
    target = start_target(interpreter, "attach_deadlock.py")
    wait_until_at_rest(target.pid)
    return target


def check_locks(text: str) -> None:
    words = " ".join(text.split())
    assert "the GIL: held by nobody" in words
    for name, holder, waiter in (("first", "MainThread", "worker-1"), ("second", "worker-1", "MainThread")):
        found = re.search(
            rf"lock __main__\.{name}_lock at 0x\w+ held by {holder} \(certain\): (.*?) waited for by", words
        )
        assert found is not None, words
        assert "transfer" in found[1]
        assert words[found.end() :].startswith(f" {waiter} (certain)")


@pytest.mark.interpreters("symbols", minors=("2.7", "3.11"))
def test_in_a_terminal(deadlocked: Target) -> None:
    with terminal(str(deadlocked.pid)) as there:
        greeting = str(there.before)
        assert f"gdb has process {deadlocked.pid} (" in greeting
        assert "lw-report  lw-stacks  lw-greenlets  lw-locks  lw-exception" in greeting
        assert procfs.read_status(deadlocked.pid).tracer_pid
        check_locks(ask(there, "lw-locks"))
        stacks = ask(there, "lw-stacks")
        assert "in nap" in stacks
        assert "C: " in stacks
        assert "C: " not in ask(there, "lw-stacks --native=none")
        assert "No thread handles an exception" in ask(there, "lw-exception")
        report = ask(there, "lw-report -v --locals")
        assert "second_lock, held by worker-1" in " ".join(report.split())
        assert "held by gdb, process_vm_readv" in report
        assert "name = 'sleepy'" in report
        assert int(ask(there, "pipe lw-stacks | grep -c 'File.*in transfer'")) == 2
        assert re.search(r"in a line is 9[67]\.", ask(there, "show width"))  # readline leaves one free on a dumb one
        there.setwinsize(40, 120)
        there.kill(signal.SIGWINCH)
        wait_until(
            lambda: re.search(r"a line is 1(19|20)\.", ask(there, "show width")), "gdb has the terminal's new width"
        )
        there.sendline("continue")
        there.expect_exact("Continuing.")
        wait_until(lambda: procfs.read_status(deadlocked.pid).state == "S", "it runs")
        there.sendintr()
        there.expect("received signal SIGINT")
        there.expect_exact(PROMPT)
        check_locks(ask(there, "lw-locks"))
        assert leave(there) == 0
    check_that_it_runs_on(deadlocked)


@ONE
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_it_runs_on_whatever_ends_lastwords(deadlocked: Target, number: int) -> None:
    with terminal(str(deadlocked.pid)) as there:
        there.kill(number)
        there.expect(pexpect.EOF)
        check_that_it_runs_on(deadlocked)


@pytest.mark.interpreters(minors=("2.7", "3.14"))
def test_an_exception_and_a_core(interpreter: Interpreter, tmp_path: Path) -> None:
    """Without a terminal: commands from a pipe. In a core, a packed one, and in somebody's own gdb."""
    with running([interpreter.path, "-c", RAISES], cwd=tmp_path, env={"MALLOC_ARENA_MAX": "1"}) as target:
        target.wait_for()
        wait_until_at_rest(target.pid)
        said = talk([sys.executable, "-m", "lastwords", "gdb", str(target.pid)], "lw-exception")
        check_exception(said)
        core = gdb_core(target.pid, tmp_path / "core")
        own = ["gdb", "-nx", "-q", "-x", str(COMMANDS)]
        check_exception(talk([*own, "-p", str(target.pid)], "lw-exception"))
        check_that_it_runs_on(target)
    packed = tmp_path / "core.gz"
    packed.write_bytes(gzip.compress(core.read_bytes(), 1))
    check_exception(talk([sys.executable, "-m", "lastwords", "gdb", str(packed)], "lw-exception"))
    assert "read: core file" in talk([*own, str(interpreter.path), str(core)], "lw-report")
    for file in (core, packed):
        file.unlink()


@pytest.mark.interpreters(minors=("2.7", "3.11"))
def test_greenlets_live_and_in_a_core(gevent_environment: Environment, tmp_path: Path) -> None:
    program: list[str | Path] = [gevent_environment.python, TARGETS / "greenlet_waits.py", "plain"]
    with running(program, cwd=tmp_path, env={**gevent_environment.env, "MALLOC_ARENA_MAX": "1"}) as target:
        target.wait_for("ready")
        wait_until_at_rest(target.pid)
        said = talk([sys.executable, "-m", "lastwords", "gdb", str(target.pid)], "lw-greenlets\nlw-greenlets --all")
        check_greenlets(said)
        core = gdb_core(target.pid, tmp_path / "core")
        check_that_it_runs_on(target)
    check_greenlets(talk([sys.executable, "-m", "lastwords", "gdb", str(core)], "lw-greenlets\nlw-greenlets --all"))
    core.unlink()


def check_greenlets(said: str) -> None:
    """First those that are alike as one, then each by itself."""
    words = " ".join(said.split())
    assert "The hub of MainThread: in its loop" in words
    assert re.search(r"\b[1-9]\d* timers \(the first in ", words)
    assert "waits for the semaphore" in words
    assert re.search(r"waits to read from fd \d+|waits for fd \d+ to be read", words)
    assert re.search(r"holds the semaphore .*? \(certain\): .*?__exit__", words)
    _, once, each = said.split("Greenlets: ")
    assert " greenlets like this" in once
    assert " greenlets like this" not in each
    count = int(each.split()[0])
    assert count == len(re.findall(r"^Greenlet: ", each, re.MULTILINE)) > 20


def talk(command: list[str], words: str, **environ: str) -> str:
    """What gdb says where it gets its commands over a pipe."""
    done = subprocess.run(
        command, input=f"{words}\nquit\n", capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "LASTWORDS_PYTHON": sys.executable, **environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def check_exception(said: str) -> None:
    words = " ".join(said.split())
    assert re.search(
        r" \(tid \d+\) handles: Traceback \(most recent call last\):.* in fail KeyError: '?what is missing'?", words
    ), said


@ONE
def test_where_only_gdb_may_read(deadlocked: Target, tmp_path: Path) -> None:
    """The kernel's refusal is played: the memory then comes over gdb."""
    code = (
        "import lastwords.examine.held as held, lastwords.cli as cli, sys\n"
        "class Refused(held.ProcessMemory):\n"
        "    def read(self, address, size): raise held.ReadError('Operation not permitted')\n"
        "held.ProcessMemory = Refused\n"
        "cli.main(sys.argv[3:])\n"
    )
    (tmp_path / "refusing.py").write_text(code)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/refusing.py" "$@"\n')
    python.chmod(0o755)
    gdb = ["gdb", "-nx", "-q", "-x", str(COMMANDS), "-p", str(deadlocked.pid)]
    assert "held by gdb, its memory over gdb" in talk(gdb, "lw-report", LASTWORDS_PYTHON=str(python))
    check_locks(talk(gdb, "lw-locks", LASTWORDS_PYTHON=str(python)))


# What it cannot do


def compare(name: str, text: str, **words: object) -> None:
    text = name_values(text, **words)
    text = re.sub(r"its \d+ mapped", "its <files> mapped", text)
    golden = GOLDEN / f"gdb_command_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def check(name: str, capfd: Output, code: int, *arguments: object, **words: object) -> None:
    """The command ends with `code`, says nothing on stdout, and on stderr what the golden file has."""
    ended = main(["gdb", *map(str, arguments)])
    shown = capfd.readouterr()
    compare(name, shown.err, **words)
    assert (ended, shown.out) == (code, "")


def test_nothing_asked(capfd: Output) -> None:
    check("nothing", capfd, 2)


def test_no_such_process(capfd: Output) -> None:
    pid = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    check("no_process", capfd, 3, pid, pid=pid)


def test_not_python(capfd: Output) -> None:
    with running(["sh", "-c", "echo ready; read line"]) as target:
        target.wait_for()
        check("not_python", capfd, 3, target.pid, pid=target.pid, sh=Path(f"/proc/{target.pid}/exe").readlink())


def test_no_such_file(capfd: Output, tmp_path: Path) -> None:
    check("no_file", capfd, 4, tmp_path / "core", directory=tmp_path)


def test_not_a_core(capfd: Output, tmp_path: Path) -> None:
    (tmp_path / "core").write_text("a text\n")
    check("not_a_core", capfd, 3, tmp_path / "core", directory=tmp_path)


@pytest.fixture
def waiting() -> Iterator[Target]:
    with running([sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()"]) as target:
        target.wait_for()
        yield target


def test_no_gdb(waiting: Target, capfd: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LASTWORDS_GDB", "/nonexistent/gdb")
    check("named_wrong", capfd, 4, waiting.pid)
    monkeypatch.delenv("LASTWORDS_GDB")
    monkeypatch.setenv("PATH", str(tmp_path))
    check("no_gdb", capfd, 4, waiting.pid)


def test_a_gdb_without_python(waiting: Target, capfd: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare = tmp_path / "bare_gdb"
    bare.write_text('#!/bin/sh\ncase "$*" in *--version) echo "GNU gdb (GDB) 13.9";; *) exit 1;; esac\n')
    bare.chmod(0o755)
    monkeypatch.setenv("LASTWORDS_GDB", str(bare))
    check("without_python", capfd, 4, waiting.pid, directory=tmp_path)


@ONE
def test_another_debugger_has_it(deadlocked: Target, capfd: Output) -> None:
    with terminal(str(deadlocked.pid)):
        tracer = procfs.read_status(deadlocked.pid).tracer_pid
        check("traced", capfd, 4, deadlocked.pid, pid=deadlocked.pid, tracer=tracer)
    check_that_it_runs_on(deadlocked)


def test_another_users(waiting: Target, capfd: Output) -> None:
    code, said = as_nobody(lambda: [main(["gdb", str(waiting.pid)]), capfd.readouterr().err])
    assert code == 4
    compare("other_user", str(said), pid=waiting.pid)


@ONE
def test_a_gdb_that_may_not_attach(deadlocked: Target, tmp_path: Path) -> None:
    """lastwords may, but its gdb is somebody else's."""
    need(os.geteuid() == 0 and shutil.which("setpriv"), "root and setpriv")
    gdb = tmp_path / "gdb"
    gdb.write_text(f'#!/bin/sh\nexec setpriv --reuid=65534 --clear-groups {shutil.which("gdb")} "$@"\n')
    gdb.chmod(0o755)
    there = pexpect.spawn(
        sys.executable, ["-m", "lastwords", "gdb", str(deadlocked.pid)], encoding="utf-8", timeout=60,
        env={**os.environ, "LASTWORDS_GDB": str(gdb)},
    )  # fmt: skip
    there.expect(pexpect.EOF)
    there.close()
    text = re.sub(r"process \d+ \(.*?\)", "process <pid> (<argv>)", str(there.before).replace("\r", ""))
    compare("may_not_attach", text, pid=deadlocked.pid)
    assert there.exitstatus == 4
    check_that_it_runs_on(deadlocked)


def test_the_commands_without_a_process(tmp_path: Path) -> None:
    gdb = ["gdb", "-nx", "-q", "-x", str(COMMANDS)]
    assert "lastwords: there is no process in this gdb: attach PID, or core-file FILE" in talk(gdb, "lw-report")
    assert "is not Python" in talk([*gdb, "-ex", "starti", "/bin/true"], "lw-report")
    missing = {"LASTWORDS_PYTHON": "/nonexistent/python"}
    started = [*gdb, "-ex", "starti", "/bin/true"]
    assert "lastwords: /nonexistent/python cannot be started: No such file" in talk(started, "lw-locks", **missing)
    (tmp_path / "ends").write_text("#!/bin/sh\necho no module named lastwords >&2; exit 1\n")
    (tmp_path / "ends").chmod(0o755)
    said = talk(started, "lw-locks", LASTWORDS_PYTHON=str(tmp_path / "ends"))
    assert "lastwords ended without an answer; it said: no module named lastwords" in said


@ONE
def test_what_the_commands_refuse(deadlocked: Target) -> None:
    gdb = ["gdb", "-nx", "-q", "-x", str(COMMANDS), "-p", str(deadlocked.pid)]
    known = "there are -v, --all, --locals, --native=all and --native=none"
    assert f"lastwords: lw-stacks knows no --some; {known}" in talk(gdb, "lw-stacks --some")
    assert "No greenlets were found." in talk(gdb, "lw-greenlets")
    said = talk(gdb, "continue &\nlw-stacks\ninterrupt")
    assert re.search(r"lastwords: thread \d+ runs: interrupt it first", said), said


def test_where_the_commands_are(capfd: Output) -> None:
    assert main(["gdb", "--commands"]) == 0
    assert Path(capfd.readouterr().out.strip()) == COMMANDS
