"""The text report: the answer first, 80 columns, nothing of the target's in a terminal unescaped."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sample_reports as sample
from lastwords import diagnose
from lastwords.model import Capture, Caught, ExceptionValue, Moment, Process, Report, Value
from lastwords.report.clean import clean, clean_lines
from lastwords.report.layout import Page
from lastwords.report.text import format_report


def render(report: Report, *, details: bool = False, colour: bool = False) -> list[str]:
    report.findings = diagnose.diagnose(report)
    return list(format_report(report, details=details, colour=colour))


def test_the_first_line_is_the_answer() -> None:
    lines = render(sample.original())
    assert lines[0] == "threading was imported (pool.py:7) before gevent patched it (app.py:5)"
    assert lines[1] == "  monkey-patch-order, certain; more: lastwords explain monkey-patch-order"


def test_everything_that_was_read_is_told() -> None:
    text = "\n".join(render(sample.original()))
    for fact in (
        "      /srv/pool.py:7: import threading\n",
        f"    Exception KeyError: KeyError({sample.GREENLET},) in {sample.THREADING} ignored",
        '    File "/usr/lib/python2.7/threading.py", line 893, in __delete\n      del _active[_get_ident()]',
        f"  KeyError: {sample.GREENLET}",
        "    #1  wait_for_thread_shutdown in libpython3.12.so.1.0",
        "during the shutdown",
        "CPython 2.7.18, gevent 1.0.2, exit code 0: python app.py",
        "      monkey.patch_all()",
        "  import threading\n      /srv/pool.py:7  import threading\n      /srv/app.py:1  import pool\n",
        "  patch of threading\n      /srv/app.py:5  gevent.monkey.patch_thread()",
    ):
        assert fact in text


def test_the_python_traceback_is_in_pythons_own_order() -> None:
    lines = [line for line in render(sample.original()) if line.startswith("    File")]
    assert [line.rpartition(" ")[2] for line in lines] == ["_exitfunc", "__delete"]


def test_one_line_says_that_nothing_was_caught() -> None:
    assert render(sample.report())[0] == "nothing was caught; the program ended with exit code 0"


def test_a_report_without_findings_says_so() -> None:
    assert next(format_report(sample.original())) == "no findings"


def test_counts_and_problems_are_told() -> None:
    report = sample.report(sample.caught(count=10_000, error="frame 3 was unreadable"), problems=["gdb ended early"])
    capture = Capture(method="gdb", problems=["page not captured", "page not captured"])
    report.moments = [Moment(id="moment-1", process="process-1", reason="unraisable", capture=capture)]
    text = "\n".join(render(report))
    assert "[exception-1] swallowed, 10000 times" in text
    assert "not all of it could be read: frame 3 was unreadable" in text
    assert "What could not be read:\n  - gdb ended early\n  - page not captured (2 times)" in text


def test_each_process_has_a_section_and_idle_ones_have_none() -> None:
    report = sample.original()
    report.processes += [sample.process(id="process-2", pid=4712), sample.process(id="process-3", pid=4713)]
    report.exceptions.append(sample.caught(id="exception-2", process="process-3"))
    text = "\n".join(render(report))
    assert "Process 1 of 3: pid 4711" in text
    assert "Process 3 of 3: pid 4713" in text
    assert "pid 4712" not in text


def test_an_exception_of_an_unknown_process_is_not_dropped() -> None:
    report = sample.report(sample.caught(process="process-9"))
    assert any(line.startswith("[exception-1]") for line in render(report))


def test_causes_come_first_and_an_unread_object_says_why() -> None:
    inner = ExceptionValue(type="OSError", value="disk")
    outer = ExceptionValue(type="builtins.ValueError", args=[Value(repr="'x'"), Value()], cause=inner)
    caught = sample.caught(exception=outer, object=Value(missing="unreadable"))
    lines = render(sample.report(caught))
    at = lines.index("  OSError: disk")
    assert lines[at : at + 4] == [
        "  OSError: disk",
        "  The direct cause of:",
        "  ValueError: 'x', ?",
        "  the object named: unknown (unreadable)",
    ]


def test_many_c_frames_are_cut_and_v_shows_them() -> None:
    stack = sample.native(*(f"function_{number}" for number in range(40)))
    report = sample.report(sample.caught(stack=stack))
    assert any("and 24 more: -v" in line for line in render(report))
    assert any("function_39" in line for line in render(report, details=True))


def test_no_colour_unless_asked() -> None:
    assert not any("\x1b" in line for line in render(sample.original()))
    assert any("\x1b[1m" in line for line in render(sample.original(), colour=True))


def test_prose_is_wrapped_at_80_columns() -> None:
    verbatim = re.compile(r"^ {4,}|Exception KeyError|ignored$")
    assert [line for line in render(sample.original()) if len(line) > 80 and not verbatim.search(line)] == []


HOSTILE = "\x1b]0;owned\x07\u202e\r\nnext\x00\udc80\x9b31m"


def hostile(report: Report) -> Report:
    error = ExceptionValue(type=HOSTILE, value=HOSTILE, traceback=[sample.python(HOSTILE, HOSTILE, 1, HOSTILE)])
    report.exceptions.append(
        Caught(
            id="exception-9",
            process="process-1",
            how="unraisable",
            message=HOSTILE,
            exception=error,
            object=Value(repr=HOSTILE),
            thread=HOSTILE,
            stack=sample.native(HOSTILE, library=HOSTILE),
        )
    )
    report.processes = [Process(id="process-1", pid=1, argv=[HOSTILE], agent=HOSTILE, libraries={HOSTILE: HOSTILE})]
    report.problems = [HOSTILE]
    return report


@pytest.mark.parametrize("details", [False, True])
def test_hostile_text_cannot_reach_the_terminal(details: bool) -> None:
    for line in render(hostile(sample.original()), details=details):
        assert line.isprintable(), ascii(line)


@given(st.text())
def test_what_is_cleaned_is_printable_and_what_was_printable_is_unchanged(text: str) -> None:
    assert clean(text).isprintable()
    assert clean(text) == text or not text.isprintable()
    assert all(line.isprintable() for line in clean_lines(text))


@given(st.text(min_size=1), st.integers(20, 100))
def test_wrapping_loses_no_word(text: str, width: int) -> None:
    lines = list(Page(width=width).wrap(text, "  "))
    assert " ".join(lines).split() == clean(text).split()


def test_long_messages_are_cut_and_counted() -> None:
    assert clean_lines("\n".join("abc"), limit=2) == ["a", "b", "... and 1 more lines"]


def test_imports_that_came_in_time_are_left_out_and_v_shows_them() -> None:
    report = sample.original()
    report.imports = sample.imports(import_order=5, patch_order=2)
    assert not any("import threading" in line for line in render(report)[-8:])
    assert "  import gevent.monkey" in render(report, details=True)
