"""What a program can know of itself under `lastwords run` and `lastwords trace` is what it knows without."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import TARGETS
from interpreters import Interpreter
from transparency import MODES, Outcome, default_signals, outcome

PROGRAM = TARGETS / "tells_of_itself.py"
OF_OURS = ("LASTWORDS_AGENT=", "PYTHONPATH=/proc/self/fd/")  # in /proc/self/environ, which no one can take back


def told(
    mode: str,
    python: Path,
    directory: Path,
    environ: dict[str, str] | None = None,
    prepare: Callable[[], None] = default_signals,
) -> dict[str, Any]:
    """What the program told of itself, without what docs/design.md says that lastwords changes."""
    file = directory / f"{mode}-told.json"
    program: list[str | Path] = [python, PROGRAM, file, "an argument", "", "\udcff"]
    ended = outcome(mode, program, directory, environ=environ, prepare=prepare)
    assert ended == Outcome(b"", b"", 0)
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found if mode == "bare" else without_documented(found)


def without_documented(found: dict[str, Any]) -> dict[str, Any]:
    """The documented differences are asserted and taken out: each is there once, so that no other hides behind it."""
    finders = found["meta_path"]
    assert ".Finder'" in finders.pop(0)
    ours = found["descriptors"].pop()
    assert ours > 900
    _, target = found["open"].pop(str(ours))
    assert target == "/memfd:lastwords-records (deleted)"
    initial = found["initial_environ"]
    assert [sum(word.startswith(one) for word in initial) for one in OF_OURS] == [1, 1]
    found["initial_environ"] = [restore(word) for word in initial if not word.startswith("LASTWORDS_AGENT=")]
    return {**found, "initial_environ": [word for word in found["initial_environ"] if word != "PYTHONPATH="]}


def restore(word: str) -> str:
    """PYTHONPATH as it was given."""
    return f"PYTHONPATH={word.partition(':')[2]}" if word.startswith(OF_OURS[1]) else word


def unordered(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "initial_environ": sorted(found["initial_environ"])}


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is not the same, by name."""
    names = set(one) | set(other)
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


@pytest.mark.parametrize("mode", MODES)
def test_a_program_finds_itself_as_it_is_without(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    bare = told("bare", interpreter.path, tmp_path)
    watched = told(mode, interpreter.path, tmp_path)
    assert differences(unordered(bare), unordered(watched)) == {}


def unusual() -> None:
    """Everything that a parent can give to a child and that an `exec` keeps, other than usual."""
    os.umask(0o027)
    os.nice(3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTSTP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR2, signal.SIGRTMIN + 3})
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.dup2(0, 77, inheritable=True)


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.14"))
@pytest.mark.parametrize("mode", MODES)
def test_what_its_parent_gave_it_reaches_it(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": "/nonexistent/one:/nonexistent/two",
        "PYTHONWARNINGS": "ignore",
        "EMPTY": "",
        "LANG": "C.UTF-8",
    }
    bare = told("bare", interpreter.path, tmp_path, environ, prepare=unusual)
    watched = told(mode, interpreter.path, tmp_path, environ, prepare=unusual)
    assert bare["status"]["SigBlk"] == ["0000001000004800"]
    assert bare["status"]["Umask"] == ["0027"]
    assert "77" in bare["open"]
    assert differences(unordered(bare), unordered(watched)) == {}


@pytest.mark.interpreters(minors=("3.12",))
def test_the_check_sees_a_difference(interpreter: Interpreter, tmp_path: Path) -> None:
    """Each of these is one of the things that lastwords might get wrong."""
    bare = told("bare", interpreter.path, tmp_path, prepare=unusual)
    seen = set(differences(bare, told("bare", interpreter.path, tmp_path)))
    assert {"status", "nice", "limits", "open", "descriptors", "handlers", "affinity"} <= seen
    assert "argv" not in seen


@pytest.mark.interpreters(minors=("3.12",))
def test_nobody_but_proc_says_that_it_is_traced(interpreter: Interpreter, tmp_path: Path) -> None:
    code = "import re; print(int(re.search('TracerPid:.([0-9]+)', open('/proc/self/status').read())[1]) > 0)"
    program = [str(interpreter.path), "-c", code]
    assert [outcome(mode, program, tmp_path).stdout for mode in ("bare", *MODES)] == [
        b"False\n",
        b"True\n",
        b"False\n",
    ]


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("mode", MODES)
def test_megabytes_of_binary_data_go_through(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    data = os.urandom(1 << 16) * 48 + b"\x00\xff\x1e{}\r\n"
    code = (
        "import os, sys\nwhile True:\n    data = os.read(0, 1 << 16)\n    if not data: break\n"
        "    while data:\n        data = data[os.write(1, data):]\nos.write(2, b'\\xff\\x00done')"
    )
    ended = outcome(mode, [interpreter.path, "-c", code], tmp_path, stdin=data)
    assert ended == Outcome(data, b"\xff\x00done", 0)


CLOSED = (
    "import os\nfor fd in (0, 1, 2):\n    try: os.fstat(fd); found = 'open'\n    except OSError: found = 'closed'\n"
)
CLOSED += "    os.write(9, ('%d %s; ' % (fd, found)).encode())"


@pytest.mark.interpreters(minors=("2.7", "3.12"))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_closed_standard_streams_stay_closed(
    interpreter: Interpreter, mode: str, closed: tuple[int, ...], tmp_path: Path
) -> None:
    def close() -> None:
        os.dup2(os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 9, inheritable=True)
        for fd in closed:
            os.close(fd)

    said = []
    for way in ("bare", mode):
        ended = outcome(way, [interpreter.path, "-c", CLOSED], tmp_path, prepare=close)
        said.append((ended, (tmp_path / "said").read_text()))
    assert said[0] == said[1]
    assert said[0][1].count("closed") == len(closed)


@pytest.mark.interpreters(minors=("3.12",))
@pytest.mark.parametrize("mode", MODES)
def test_a_reader_that_goes_away(interpreter: Interpreter, mode: str, tmp_path: Path) -> None:
    """Python ignores SIGPIPE and gets EPIPE; with the default action it dies of it."""
    python = interpreter.path
    for code in (
        "import sys\nwhile True: sys.stdout.write('x' * 9999)",
        "import signal, os\nsignal.signal(13, signal.SIG_DFL)\nwhile True: os.write(1, b'x' * 9999)",
    ):
        statuses = []
        for way in ("bare", mode):
            ours, theirs = os.pipe()
            os.close(ours)

            def into_pipe(theirs: int = theirs) -> None:
                os.dup2(theirs, 1)

            ended = outcome(way, [python, "-c", code], tmp_path, prepare=into_pipe)
            statuses.append(ended)
            os.close(theirs)
        assert statuses[0] == statuses[1]
        assert statuses[0].status in (1, -signal.SIGPIPE)
