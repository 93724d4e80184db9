"""A small sample of `make harm`, and that its checks see harm: by tools that do it on purpose."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import harm
from harm.attaches import look_in_turn
from harm.calls import find_left_alone, see
from harm.freezes import Freezer
from harm.kills import Killer
from harm.peers import NO_INTERRUPT, OURS, Tool
from harm.server import Server, serving
from harm.signals import send_while_looked_at
from harm.stages import Ended, commands, end_once
from harness import wait_until
from interpreters import Interpreter
from needs import need

GOLDEN = Path(__file__).parents[1] / "golden"
PRONE = {"epoll_wait", "epoll_pwait", "recv_timed", "send_timed", "accept_timed", "semop", "semtimedop",
         "sigtimedwait", "sigwaitinfo", "io_getevents", "write_pipe"}  # fmt: skip

TRIES = 40  # of freezes, most of which meet a thread that stands still
# A tool that stops its target by a signal, and forgets it when it is killed.
STOPS = "import os, signal, sys, time; os.kill(int(sys.argv[1]), signal.SIGSTOP); time.sleep(60)"
INTERRUPTS = (sys.executable, str(Path(harm.__file__).with_name("interrupts.py")), "{pid}")
STAGED = (sys.executable, str(Path(harm.__file__).with_name("staged.py")))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(Path(sys.executable), "threads", tmp_path) as server:
        yield server


def test_kills_freezes_and_looks(server: Server, tmp_path: Path) -> None:
    killed = [Killer(tool, server, tmp_path).run(4) for tool in OURS]
    assert all(one.is_harmless for one in killed), killed
    assert all(one.killed == 4 and one.held for one in killed), killed
    killer = Killer(OURS[0], server, tmp_path)
    while not killer.kills.stoppers:  # it may be gone again before it is struck, or not yet known
        killer.kill_once(when_held=True, stopper=True)
    assert killer.kills.is_harmless, killer.kills
    assert all(one.requests > 20 for one in killed)
    freezers = [Freezer(OURS[0], server, tmp_path, both) for both in (False, True)]
    frozen = [one.run(1) for one in freezers]
    while max(frozen[1].gaps) < 1 and frozen[1].frozen < TRIES:  # it let the threads go as it was struck
        freezers[1].freeze_once(when_held=True)
    assert all(one.held and not one.left_stopped and not one.failures for one in frozen), frozen  # how long: make harm
    assert max(frozen[1].gaps) > 1
    looked = look_in_turn(server, "threads", [(OURS[0], 2), (NO_INTERRUPT, 1)], tmp_path)
    assert all(one.is_harmless and not one.bad_ends for one in looked), looked
    assert [one.runs for one in looked] == [2, 1]


def test_what_is_left_stopped_is_seen(server: Server, tmp_path: Path) -> None:
    tool = Tool("stops", (sys.executable, "-c", STOPS, "{pid}"))
    killer = Killer(tool, server, tmp_path)
    killer.seconds = 1.0
    killer.kill_once(when_held=False, stopper=False)
    if not killer.kills.left_stopped:  # killed before it did harm
        killer.seconds = 0
        with tool.start(server.pid, tmp_path) as process:
            while not server.find_stopped(0):
                assert process.poll() is None
            process.kill()
        killer.look()
    assert killer.kills.left_stopped == 1
    assert not killer.kills.is_harmless
    assert server.find_stopped() == {}, "it was helped on"


def test_a_server_that_died_or_fails_is_seen(server: Server, tmp_path: Path) -> None:
    killer = Killer(OURS[0], server, tmp_path)
    os.kill(server.pid, signal.SIGKILL)
    server.target.process.wait()
    killer.look()
    assert killer.kills.died == 1
    assert not killer.kills.is_harmless
    (looked,) = look_in_turn(server, "threads", [(Tool("nothing", ("sleep", "0.5")), 1)], tmp_path)
    assert looked.failures
    assert not looked.is_harmless


def test_a_stop_that_is_too_long_is_seen(server: Server, tmp_path: Path) -> None:
    freezer = Freezer(OURS[0], server, tmp_path, both=False)
    os.kill(server.pid, signal.SIGSTOP)
    wait_until(lambda: server.find_stopped(0), "it is stopped")
    assert server.find_stopped(2.1)
    os.kill(server.pid, signal.SIGCONT)
    freezer.freezes.gaps.append(server.longest_gap())
    assert not freezer.freezes.is_harmless


@pytest.fixture
def with_gcc() -> None:
    need(subprocess.run(["which", "gcc"], capture_output=True, check=False).returncode == 0, "gcc")


@pytest.mark.usefixtures("with_gcc")
@pytest.mark.interpreters(minors=("2.7",))
def test_no_call_sees_a_look(interpreter: Interpreter, tmp_path: Path) -> None:
    """In C and in 2.7, beside a tracer that interrupts them all."""
    assert find_left_alone(interpreter.path, tmp_path, 60) >= PRONE  # it is ended before that
    seen = see(interpreter.path, interpreter.name, OURS[0], tmp_path, 5, 2)
    assert seen.looks
    assert len(seen.outcomes) > 45
    assert seen.is_harmless, seen.disturbed
    seen = see(interpreter.path, interpreter.name, NO_INTERRUPT, tmp_path, 5, 2)
    assert seen.is_harmless, seen.disturbed
    tool = Tool("interrupts all", INTERRUPTS)
    seen = see(interpreter.path, interpreter.name, tool, tmp_path, 5, 1)
    assert set(seen.disturbed) >= PRONE


@pytest.mark.usefixtures("with_gcc")
def test_signals(running_python: Interpreter, tmp_path: Path) -> None:
    sent = send_while_looked_at(running_python.path, OURS[0], 4, 2000, tmp_path)
    assert sent.is_harmless, sent
    assert (sent.runs, sent.sent) == (4, 2000)
    assert min(sent.told["ticks"], sent.told["children"]) > 2
    careless = Tool("loses", (*INTERRUPTS, "careless"))
    sent = send_while_looked_at(running_python.path, careless, 10, 1000, tmp_path)  # it loses about a hundred
    assert not sent.is_harmless, sent


@pytest.mark.parametrize(
    ("command", "stage", "how", "code"),
    [
        ("attach", "held", "2", -signal.SIGINT),
        ("attach --json", "held", "15", -signal.SIGTERM),
        ("snapshot -o", "writing a snapshot", "1", -signal.SIGHUP),
        ("snapshot -o", "held", "memory:0", 4),
        ("attach", "C stacks", "memory:0", 4),
    ],
)
def test_an_end_at_a_stage(server: Server, tmp_path: Path, command: str, stage: str, how: str, code: int) -> None:
    ended = Ended(command, stage, how, 0, "")
    end_once(server, tmp_path, ended, [*STAGED, stage, how, *commands(server.pid, tmp_path)[command]])
    assert ended.code == code
    assert ended.is_harmless, ended.failures
    if code == 4:
        told = re.sub(r"\d+ MB", "<limit> MB", ended.said)
        golden = GOLDEN / "no_memory.txt"
        if os.environ.get("LASTWORDS_GOLDEN") == "write":
            golden.write_text(told)
        assert told == golden.read_text()
    else:
        assert ended.said == ""


def test_what_is_not_ours_is_seen() -> None:
    ended = Ended("attach", "held", "x", 1, "Traceback (most recent call last)\n", "is left stopped", ["x"])
    assert len(ended.failures) == 3
    assert Ended("attach", "held", "x", 125, "lastwords: a bug in lastwords\n").failures
    assert Ended("attach", "held", "x", 4, "lastwords: so\n  do\n").is_harmless
