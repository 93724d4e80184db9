"""The order of findings, and that one exception is told once."""

from __future__ import annotations

import pytest

import sample_reports as sample
from lastwords import diagnose
from lastwords.diagnose import CERTAINTIES
from lastwords.model import Exit, Process, Report
from lastwords.report.text import format_report


def codes(report: Report) -> list[str]:
    return [finding.code for finding in diagnose.diagnose(report)]


def test_nothing_caught_is_healthy() -> None:
    [finding] = diagnose.diagnose(sample.report())
    assert (finding.code, finding.certainty) == ("healthy", "certain")
    assert finding.title == "nothing was caught; the program ended with exit code 0"


def test_what_was_not_watched_is_not_certainly_healthy() -> None:
    [finding] = diagnose.diagnose(sample.report(problems=["gdb ended"]))
    assert finding.certainty == "likely"
    assert finding.title.endswith("exit code 0; but not everything could be watched")
    assert diagnose.diagnose(sample.report(processes=[sample.process(exit=None)]))[0].certainty == "likely"
    assert diagnose.diagnose(sample.report(processes=[]))[0].certainty == "likely"


def test_being_killed_from_outside_is_no_crash() -> None:
    report = sample.report(processes=[sample.process(exit=Exit(signal=15))])
    [finding] = diagnose.diagnose(report)
    assert (finding.code, finding.title) == ("healthy", "nothing was caught; the program ended with SIGTERM")


def test_the_fallback_tells_what_was_swallowed_and_where() -> None:
    report = sample.report(sample.caught(stack=sample.native("PyErr_WriteUnraisable", "some_new_caller")))
    [finding] = diagnose.diagnose(report)
    assert (finding.code, finding.certainty) == ("exception-swallowed", "certain")
    assert finding.title == "ValueError at app.py:3, which left work, was swallowed by some_new_caller"
    assert ("/srv/app.py", 3) in {(subject.file, subject.line) for subject in finding.subjects}


def test_an_exception_that_could_not_be_read_is_still_told() -> None:
    [finding] = diagnose.diagnose(sample.report(sample.caught(type=None)))
    assert (finding.code, finding.certainty) == ("exception-swallowed", "likely")
    assert "could not be read" in finding.title


@pytest.mark.parametrize(
    ("how", "title"),
    [
        ("uncaught", "the program ended by an uncaught ValueError at app.py:3"),
        ("thread", "thread pump ended by an uncaught ValueError at app.py:3"),
        ("greenlet", "greenlet Greenlet-0 ended by an uncaught ValueError at app.py:3"),
    ],
)
def test_uncaught_exceptions_name_what_they_ended(how: str, title: str) -> None:
    caught = sample.caught(how=how, thread="pump", greenlet="Greenlet-0")  # type: ignore[arg-type]
    assert diagnose.diagnose(sample.report(caught))[0].title == title


def test_cause_comes_before_symptom_and_is_told_once() -> None:
    stack = sample.native("PyErr_WriteUnraisable", "slot_tp_finalize", "subtype_dealloc")
    interrupt = sample.caught(type="KeyboardInterrupt", stack=stack)
    assert codes(sample.report(interrupt)) == ["interrupt-lost"]


def test_a_likely_cause_stands_behind_a_certain_symptom() -> None:
    stack = sample.native("PyErr_WriteUnraisable", "slot_tp_finalize", "subtype_dealloc")
    late = sample.caught(type="ImportError", stack=stack, phase="finalizing")
    assert codes(sample.report(late)) == ["finalizer-failed", "too-late"]


def test_a_mere_possibility_does_not_replace_the_fallback() -> None:
    maybe = sample.caught(type="NameError", phase="finalizing", stack=sample.native("PyErr_WriteUnraisable", "x"))
    assert codes(sample.report(maybe)) == ["exception-swallowed", "too-late"]


def test_certain_findings_come_first() -> None:
    vague = sample.caught(id="exception-2", stack=sample.native("PyErr_WriteUnraisable", None, "finalize_garbage"))
    sure = sample.caught(stack=sample.native("PyErr_WriteUnraisable", "atexit_callfuncs"))
    found = diagnose.diagnose(sample.report(vague, sure))
    ranks = [CERTAINTIES.index(finding.certainty) for finding in found]
    assert ranks == sorted(ranks) == [0, 1]


def test_judging_twice_says_the_same_and_leaves_the_report_alone() -> None:
    report = sample.original()
    before = list(format_report(report))
    assert diagnose.diagnose(report) == diagnose.diagnose(report)
    assert list(format_report(report)) == before


def test_a_process_that_is_not_in_the_report_breaks_nothing() -> None:
    report = sample.original()
    report.processes = [Process(id="another", pid=1)]
    assert diagnose.diagnose(report)[0].code == "monkey-patch-order"
