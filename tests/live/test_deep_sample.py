"""A sample of what `make test-deep` measures: generated programs, a busy target, damaged memory. See tests/deep."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from deep.busy import Busy, CallGraph, attach_again_and_again
from deep.compare import compare
from deep.damage import check, record, record_core
from deep.fuzz import CASE_SECONDS, MEMORY_LIMIT, fuzz
from deep.host import Host
from deep.measure import Measurement, read_standing
from deep.programs import Program, Step, Work, render
from interpreters import Interpreter as Python
from lastwords import library
from lastwords.model import Frame, Report

PROGRAMS = 16
ATTACHES = 20
CASES = 60
CORES = Path(__file__).parents[1] / "cores"
SEED = 20260  # fixed: a test that fails must fail again; `make test-deep` draws another one each time

pytestmark = pytest.mark.interpreters("!free_threaded")


def test_generated_programs_are_read_as_they_describe_themselves(interpreter: Python) -> None:
    measured = Measurement(interpreter, SEED).run(PROGRAMS)
    assert measured.failures == []
    assert measured.programs >= PROGRAMS
    assert measured.fields > 100 * PROGRAMS
    assert len(measured.features) > 25


def one_line_off(pid: int) -> Report:
    report = read_standing(pid)
    stack = next(thread for thread in report.threads if thread.is_main).stack
    assert stack[0].line is not None
    stack[0].line += 1
    return report


@pytest.mark.interpreters(minors=("3.12",))
def test_a_reader_that_is_one_line_off_is_found_out_and_the_program_shrunken(interpreter: Python) -> None:
    measured = Measurement(interpreter, SEED, one_line_off).run(1)
    assert "frame 0 (" in measured.failures[0]["differences"]
    assert "line: it is" in measured.failures[0]["differences"]
    assert measured.failures[0]["source"].count("def ") < 8, measured.failures[0]["source"]


@pytest.mark.interpreters(minors=("3.12",))
def test_every_kind_of_field_is_compared(interpreter: Python) -> None:
    """A report that knows nothing but the threads differs from the program's words in each of them."""
    works = Work((Step("with_lock", ("1",)), Step("handler")), "event", name="a"), Work((Step("plain"),), "lock")
    with Host(interpreter) as host:
        facts = host.stand(render(Program(works), interpreter.version))
        report = read_standing(host.pid)
        assert compare(facts, report).differences == []
        report.objects.clear()
        report.edges.clear()
        report.threading[0].active.clear()
        report.processes[0].modules.pop()
        for thread in report.threads:
            thread.handled = thread.waits_for = None
            thread.name, thread.daemon, thread.tid = "another", None, 1
            for frame in thread.stack:
                frame.column, frame.locals = -1, {}
        found = "\n".join(map(str, compare(facts, report).differences))
    for field in ("sys.modules", "_active", " name", "daemon", "tid", "handled", "waits", "column", "locals", "holds"):
        assert field in found, field


@pytest.mark.interpreters(minors=("2.7", "3.12", "3.14"))
def test_whatever_a_busy_target_is_seen_doing_it_can_have_done(interpreter: Python) -> None:
    busy = attach_again_and_again(interpreter, ATTACHES)
    assert busy.failures == []
    assert busy.attaches == ATTACHES
    assert busy.gaps < ATTACHES / 2
    assert {"leaf", "twig", "branch", "recurse"} <= busy.functions


GRAPH = CallGraph(
    "busy.py", frozenset({("run_for_ever", "work", 3), ("work", "leaf", 7)}),
    {"run_for_ever": (1, 4), "work": (5, 8), "leaf": (9, 9)},
)  # fmt: skip


def forge(*frames: tuple[str, int]) -> list[Frame]:
    return [Frame(kind="python", function=name, line=line, file="busy.py") for name, line in frames]


def test_a_forged_stack_is_found_out() -> None:
    threading = Frame(kind="python", function="run", line=1, file="threading.py")
    true = [*forge(("leaf", 9), ("work", 7), ("run_for_ever", 3)), threading]
    assert list(GRAPH.find_impossible(true)) == []
    for wrong in (
        forge(("leaf", 9), ("work", 6), ("run_for_ever", 3)),  # not at this line
        forge(("leaf", 9), ("run_for_ever", 3)),  # not this function
        forge(("leaf", 8), ("work", 7), ("run_for_ever", 3)),  # not a line of it
        forge(("leaf", 9), ("work", 7)),  # not the whole stack
        [threading, *true],  # not there
    ):
        assert list(GRAPH.find_impossible(wrong)), wrong


@pytest.mark.interpreters(minors=("3.8",))
def test_without_a_pause_impossible_stacks_are_seen_and_marked(interpreter: Python) -> None:
    """About six of ten attaches see one: that none of 100 does has a probability of 10 ** -40."""

    def has_both(busy: Busy) -> bool:
        is_marked = any("may have run while they were read" in one for one in busy.failures)
        return is_marked and any("calls" in one or "outermost" in one for one in busy.failures)

    busy = attach_again_and_again(interpreter, 100, lambda pid: library.attach(pid, pause=False), has_both)
    assert has_both(busy)


@pytest.mark.interpreters(minors=("3.12",))
def test_memory_is_recorded(interpreter: Python) -> None:
    """Of a live process: what is damaged by `make test-deep`, as its addresses are others each time."""
    recording = record(interpreter)
    assert recording.threads >= 5
    assert len(recording.links) > 20, "chains that can be made cycles"
    assert check(recording, 0, SEED) in ("read", "refused")


@pytest.mark.parametrize("name", ["py2.7", "py3.8", "py3.11", "py3.13", "deb3.15"])
def test_damaged_memory_ends_in_our_errors_alone(name: str) -> None:
    recording = record_core(CORES / f"{name}.core.xz")
    assert recording.threads == 3
    assert len(recording.links) > 10, "chains that can be made cycles"
    fuzzed = fuzz(recording, range(CASES), random.Random(SEED).getrandbits(32))
    assert fuzzed.failures == []
    assert fuzzed.slowest < CASE_SECONDS
    assert fuzzed.memory < MEMORY_LIMIT
    assert fuzzed.outcomes["read"] > CASES / 2, "the damage must reach the readers, not only the checks before them"
