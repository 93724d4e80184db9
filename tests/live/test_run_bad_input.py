"""What a user can get wrong, or a machine forbid: one clear message, the exit code of README, the program runs.

Every message is in tests/golden/run_NAME.txt, whole; LASTWORDS_GOLDEN=write makes the files anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lastwords.model import Report, from_json
from needs import lack

GOLDEN = Path(__file__).parents[1] / "golden"
LASTWORDS = [sys.executable, "-m", "lastwords", "run"]
PROGRAM = [sys.executable, "hi.py"]
NO_GDB = {"LASTWORDS_GDB": ""}
TIMEOUT = 60

FILES = {
    "hi.py": "import sys; print('hi'); sys.stdout.flush(); sys.exit(3)\n",
    "no_shebang.py": "print('hi')\n",
    "+lost": "#!/no/such/python\n",
    "+plain": "echo hi; exit 3\n",
    "+shell": "#!/bin/sh\necho hi; exit 3\n",
    "+old_gdb": "#!/bin/sh\n"
    'case "$*" in *--version) echo "GNU gdb (GDB) 7.2";; *VERSION*) echo "7.2|3.1";; *) exit 1;; esac\n',
    "+bare_gdb": '#!/bin/sh\ncase "$*" in *--version) echo "GNU gdb (GDB) 13.9";; *) exit 1;; esac\n',
    "+broken_gdb": "#!/bin/sh\necho 'libpython3.9.so: cannot open shared object file' >&2; exit 127\n",
    "+stuck_gdb": "#!/bin/sh\nexec sleep 600\n",
}


@dataclass
class Case:
    """A command line, what is different about it, its exit code, and whether the program says "hi" all the same."""

    program: list[str]
    code: int = 3
    runs: bool = True
    env: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=lambda: ["--json", "report.json"])
    before: list[str] = field(default_factory=list)


CASES = {
    "no_such_program": Case(["nosuchprogram"], 127, False),
    "no_such_file": Case(["./nosuch.py"], 127, False),
    "python_by_a_version_it_has_not": Case(["python2.6", "hi.py"], 127, False),
    "pypy_absent": Case(["pypy3.99", "hi.py"], 127, False),
    "not_executable": Case(["./no_shebang.py"], 126, False),
    "directory": Case(["/tmp"], 126, False),
    "lost_interpreter": Case(["./lost"], 127, False),
    "no_gdb": Case(PROGRAM, env={"PATH": "/nonexistent"}),
    "gdb_named_wrong": Case(PROGRAM, env={"LASTWORDS_GDB": "/nonexistent/gdb"}),
    "gdb_too_old": Case(PROGRAM, env={"LASTWORDS_GDB": "./old_gdb"}),
    "gdb_without_python": Case(PROGRAM, env={"LASTWORDS_GDB": "./bare_gdb"}),
    "gdb_broken": Case(PROGRAM, env={"LASTWORDS_GDB": "./broken_gdb"}),
    "gdb_stuck": Case(PROGRAM, env={"LASTWORDS_GDB": "./stuck_gdb", "LASTWORDS_PATIENCE": "1"}),
    "json_full": Case(PROGRAM, options=["--json", "/dev/full"]),
    "json_read_only": Case(PROGRAM, options=["--json", "/proc/report.json"]),
    "traced_already": Case(PROGRAM, before=["strace", "-f", "-qq", "-o", "/dev/null"]),
    "under_itself": Case([*LASTWORDS, "--json", "inner.json", "--", *PROGRAM]),
    # These are no errors: nothing is said.
    "plain": Case(["./plain"]),
    "shell": Case(["./shell"]),
    "isolated": Case([sys.executable, "-I", "-E", "-S", "hi.py"]),
    "odd_terminal": Case(PROGRAM, env={"TERM": "sun-cmd"}),
    "no_home": Case(PROGRAM, env={"HOME": "", "XDG_CACHE_HOME": "relative"}),
    "no_cache": Case(PROGRAM, env={"HOME": "/proc", "XDG_CACHE_HOME": "/proc/cache"}),
    "preload": Case(PROGRAM, env={"LD_PRELOAD": "libm.so.6"}),
    "long_line": Case([*PROGRAM, *("x" * 100 for _ in range(5000))]),
    "no_utf8": Case([*PROGRAM, "\udcff\udcfe"]),
    "few_descriptors": Case(PROGRAM, before=["sh", "-c", 'ulimit -n 24; exec "$@"', "sh"]),
}
SAYS_NOTHING = list(CASES)[list(CASES).index("plain") :]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name.lstrip("+")
        path.write_text(text)
        path.chmod(0o755 if name.startswith("+") else 0o644)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(case: Case) -> subprocess.CompletedProcess[str]:
    if case.before and not shutil.which(case.before[0]):
        lack(case.before[0])
    command = [*case.before, *LASTWORDS, *case.options, "--", *case.program]
    return subprocess.run(
        command, env={**os.environ, **case.env}, stdin=subprocess.DEVNULL, capture_output=True, check=False,
        timeout=TIMEOUT, encoding="utf-8", errors="surrogateescape",
    )  # fmt: skip


def normal(text: str, directory: Path) -> str:
    """Without what differs from one run and machine to the next."""
    text = text.replace(str(directory), "DIRECTORY").replace(sys.executable, "PYTHON")
    return re.sub(r"\bprocess \d+|-p \d+", lambda found: found[0].split()[0] + " PID", text)


@pytest.mark.parametrize("name", CASES)
def test_message(name: str, directory: Path) -> None:
    done = run(CASES[name])
    said = normal(done.stderr, directory)
    assert done.returncode == CASES[name].code, done.stderr
    assert done.stdout == ("hi\n" if CASES[name].runs else "")
    golden = GOLDEN / f"run_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write" and name not in SAYS_NOTHING:
        golden.write_text(said)
    assert said == ("" if name in SAYS_NOTHING else golden.read_text())


def report_of(program: list[str], *options: str) -> Report:
    done = run(Case(program, options=["--json", "report.json", *options]))
    assert done.returncode == 3, done.stderr
    return from_json(Path("report.json").read_bytes())


@pytest.mark.usefixtures("directory")
def test_not_python_is_said_in_the_report() -> None:
    [problem] = report_of(["./shell"]).problems
    assert problem == "./shell is not a Python program: nothing in it could be watched"


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    "text",
    [
        "import os; os.closerange(0, 4096); os._exit(3)",
        "import os, sys; os.fork() and os._exit(3); os.setsid(); os.fork() and os._exit(0); os.read(0, 1)",
        "import os, sys\nif len(sys.argv) < 6: os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], 'x'])\n"
        "os._exit(3)",
    ],
    ids=["closes_all", "daemon", "execs_itself"],
)
def test_odd_program(text: str) -> None:
    report = report_of([sys.executable, "-c", text])
    assert report.processes[0].exit is not None
    assert report.processes[0].exit.code == 3
    said = [one for one in report.problems if "gdb" in one]
    # gdb 13 itself was seen to crash where a daemon's parents end while it forks: the program does not notice
    assert said in ([], ["gdb ended by itself: from then on the program ran unwatched"] * ("setsid" in text))


def test_deleted_directory(directory: Path) -> None:
    gone = directory / "gone"
    gone.mkdir()
    script = f'cd {gone} && rmdir {gone} && exec "$@"'
    case = Case([sys.executable, str(directory / "hi.py")], before=["sh", "-c", script, "sh"])
    case.options = ["--json", str(directory / "report.json")]
    done = run(case)
    assert (done.returncode, done.stdout, done.stderr) == (3, "hi\n", "")
    assert from_json((directory / "report.json").read_bytes()).processes[0].cwd == f"{gone} (deleted)"


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(closed: str) -> None:
    case = Case([sys.executable, "-c", "import os; os._exit(3)"], before=["sh", "-c", f'exec "$@" {closed}', "sh"])
    done = run(case)
    assert done.returncode == 3
    assert from_json(Path("report.json").read_bytes()).processes[0].exit is not None


@pytest.mark.usefixtures("directory")
def test_little_memory() -> None:
    """gdb does not get what it needs: the program runs."""
    case = Case(["/bin/echo", "hi"], 0, before=["sh", "-c", 'ulimit -v 250000; exec "$@"', "sh"])
    case.env = {"LASTWORDS_PATIENCE": "4"}
    done = run(case)
    assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr
