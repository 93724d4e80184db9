"""Whatever happens to lastwords or to gdb, the program goes on and ends by itself, and nothing is left behind.

LASTWORDS_KILLS=200 is the number of kills at random instants for each interpreter; the seed is printed and
LASTWORDS_SEED sets it.
"""

from __future__ import annotations

import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import TARGETS
from interpreters import Interpreter, find_interpreters
from survival import Outcome, Trial, in_arena

KILLS = int(os.environ.get("LASTWORDS_KILLS", "10"))
SEED = int(os.environ.get("LASTWORDS_SEED", "7"))
PATIENCE = 2
LONG = 100  # rounds of the program: it is far from its end when the harm comes, and then quick, unwatched


def chosen() -> list[Interpreter]:
    """The oldest, the newest, and one with another way to swallow."""
    found = {one.minor: one for one in find_interpreters()}
    return [
        found[minor] for minor in dict.fromkeys([min(found, key=key), "3.8", max(found, key=key)]) if minor in found
    ]


def key(minor: str) -> tuple[int, ...]:
    return tuple(int(number) for number in minor.split("."))


def command(python: Interpreter, rounds: int = 15) -> list[str]:
    return [str(python.path), str(TARGETS / "survives.py"), str(rounds)]


def table(trials: list[Trial], outcomes: list[Outcome]) -> str:
    rows = (
        f"{trial.delay:5.2f} s {'of the program' if trial.running else 'of lastwords':14}"
        f" {' '.join(f'{signal.Signals(number).name}>{victim}' for victim, number in trial.harm):18} {outcome}"
        for trial, outcome in zip(trials, outcomes, strict=True)
    )
    return "\n".join(rows)


def hold(trials: list[Trial]) -> list[Outcome]:
    """Two arenas at a time. Fails with the table of instants and outcomes if any program was harmed."""
    with ThreadPoolExecutor(2) as pool:
        halves = list(pool.map(in_arena, (trials[::2], trials[1::2])))
    ordered = [*trials[::2], *trials[1::2]]
    outcomes = [*halves[0], *halves[1]]
    print(table(ordered, outcomes))
    assert all(outcome.harmless for outcome in outcomes), "\n" + table(ordered, outcomes)
    return outcomes


@pytest.mark.parametrize("python", chosen())
def test_kill(python: Interpreter) -> None:
    """SIGKILL to lastwords at any instant from its start to its end."""
    [whole] = in_arena([Trial(command(python), 0.0, [])])
    instants = random.Random(f"{SEED} {python.name}")
    delays = [instants.uniform(0.0, whole.seconds) for _ in range(KILLS - 1)]
    kill: list[tuple[str, int]] = [("lastwords", signal.SIGKILL)]
    outcomes = hold(
        [Trial(command(python), 0.0, kill, running=True), *(Trial(command(python), at, kill) for at in delays)]
    )
    assert outcomes[0].phase == "running"


def signals_to_gdb(*numbers: signal.Signals) -> list[Trial]:
    instants = random.Random(SEED)
    program = command(chosen()[-1], LONG)
    return [Trial(program, instants.uniform(0.0, 0.5), [("gdb", number)], running=True) for number in numbers]


def test_gdb_ended() -> None:
    """By somebody else: it lets go first. lastwords ends as the program, and says what it missed."""
    for outcome in hold(signals_to_gdb(signal.SIGTERM, signal.SIGHUP)):
        assert outcome.lastwords == 7
        assert "ran unwatched" in outcome.stderr


def test_gdb_crashes() -> None:
    """Its breakpoints are taken out at once, but a thread that meets one before that dies of SIGTRAP, and the program.

    This is the one thing that can kill a program. It is not left standing, and lastwords ends as it did.
    """
    trials = signals_to_gdb(signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL)
    outcomes = in_arena(trials)
    print(table(trials, outcomes))
    for outcome in outcomes:
        assert outcome.lastwords == outcome.program
        assert outcome.program in (7, -signal.SIGTRAP)
        assert not outcome.left
        said = " ".join(outcome.stderr.split())
        assert "ran unwatched" in said
        assert ("one of gdb's breakpoints" in said) == (outcome.program == -signal.SIGTRAP)


@pytest.mark.parametrize("victim", ["lastwords", "gdb"])
def test_frozen(victim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP: the other side waits for LASTWORDS_PATIENCE seconds, then the program is let go and ends by itself."""
    monkeypatch.setenv("LASTWORDS_PATIENCE", str(PATIENCE))
    python = chosen()[-1]
    [outcome] = hold(
        [Trial(command(python, LONG), 0.2, [(victim, signal.SIGSTOP)], True, after=[(victim, signal.SIGCONT)])]
    )
    assert outcome.lastwords == 7
    assert "ran unwatched" in outcome.stderr


def test_terminated() -> None:
    """SIGTERM to lastwords is the program's, at any instant; nothing is left."""
    instants = random.Random(SEED)
    trials = [
        Trial(command(chosen()[-1], LONG), instants.uniform(0.0, 1.5), [("lastwords", signal.SIGTERM)])
        for _ in range(6)
    ]
    outcomes = in_arena(trials)
    print(table(trials, outcomes))
    for outcome in outcomes:
        assert outcome.lastwords == -signal.SIGTERM
        assert outcome.program in (None, -signal.SIGTERM)
        assert not outcome.left


SLEEPS = """
import os, time
class Fails(object):
    def __del__(self):
        raise ValueError("swallowed")
os.write(1, ("pid %d\\n" % os.getpid()).encode())
time.sleep(3)
Fails()
os.write(1, b"end\\n")
os._exit(7)
"""


def test_the_check_can_fail() -> None:
    """Nobody left to let go of the program: it meets a breakpoint of the dead gdb, and the trial says so.

    It sleeps when gdb is killed: where all its threads stand still for gdb there are no breakpoints.
    """
    everyone = [(victim, int(signal.SIGKILL)) for victim in ("keeper", "gdb", "lastwords")]
    everyone.insert(0, ("lastwords", signal.SIGSTOP))  # it would take the breakpoints out
    [outcome] = in_arena([Trial([str(chosen()[-1].path), "-c", SLEEPS], 0.5, everyone, running=True, patience=10)])
    assert outcome.program == -signal.SIGTRAP, outcome
    assert not outcome.harmless
