"""A report in which anything was not read is still judged and shown: errors are data."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

import sample_reports as sample
from lastwords import diagnose
from lastwords.model import Exit, Report, Thread, Value
from lastwords.report.text import format_report
from sample_greenlets import every_greenlet_hang
from sample_waits import every_hang

Path = tuple[str | int, ...]


def everything() -> Report:
    """One report with every kind of exception in it."""
    report = sample.original()
    report.processes.append(sample.process(id="process-2", pid=4712, ppid=4711, exit=Exit(signal=11)))
    report.threads = [Thread(id="thread-1", moment="moment-1", name="pump", tid=7)]
    stack = sample.native(
        "_PyErr_WriteUnraisableMsg", "slot_tp_finalize", "subtype_dealloc", "_PyEval_EvalFrameDefault"
    )
    thing = Value(type="function", repr="<function A.__del__>")
    running = [sample.python("run", "/srv/app.py", 20)]
    for number, (how, kind, names) in enumerate(
        [
            ("unraisable", "ValueError", stack),
            ("unraisable", "KeyboardInterrupt", stack),
            ("unraisable", "ImportError", sample.native("_PyErr_WriteUnraisableMsg", "flush_std_files")),
            ("unraisable", "OSError", sample.native("PyErr_WriteUnraisable") + sample.native("f", library="/x.so")),
            ("uncaught", "ValueError", sample.native("PyErr_PrintEx", "PyRun_SimpleFile")),
            ("printed", "NameError", sample.native("PyErr_Display", "_PyErr_PrintEx", "PyRun_SimpleFile")),
            ("thread", "ValueError", []),
            ("greenlet", "ValueError", []),
            ("uncaught", "ValueError", []),
            ("fatal", None, sample.native("abort", "decode")),
        ],
        2,
    ):
        phase = "running" if how == "printed" else "finalizing"
        made = sample.caught(kind, names, how=how, id=f"exception-{number}", phase=phase, object=thing)  # type: ignore[arg-type]
        made.python_stack, made.thread = running, "thread-1"
        if made.exception:
            if how == "printed":
                made.exception.traceback = [sample.python("hook", "/srv/hooks.py", 2)]
                made.exception.context = sample.original().exceptions[0].exception
            made.exception.args = [Value(repr="32")]
        report.exceptions.append(made)
    report.exceptions[-1].process = "process-2"
    return report


def paths(value: object, at: Path = ()) -> Iterator[Path]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def without(document: object, path: Path) -> Report | None:
    """The report without what is at the path; None where the model has to have it."""
    copy = msgspec.json.decode(msgspec.json.encode(document))
    *way, last = path
    place = copy
    for key in way:
        place = place[key]
    del place[last]
    try:
        return msgspec.convert(copy, Report)
    except msgspec.ValidationError:
        return None


PLAIN = msgspec.to_builtins(everything())
PLACES = list(paths(PLAIN))


@pytest.mark.parametrize("part", sorted({str(path[0]) for path in PLACES}))
def test_any_one_thing_may_be_missing(part: str) -> None:
    tried = 0
    for path in PLACES:
        report = without(PLAIN, path) if path[0] == part else None
        if report is not None:
            tried += 1
            report.findings = diagnose.diagnose(report)
            assert report.findings, path
            assert all(line.isprintable() for line in format_report(report)), path
    assert tried or part in ("tool", "mode", "captured_at"), "nothing could be left out"


def test_any_one_thing_may_be_missing_of_a_hang() -> None:
    for whole in map(msgspec.to_builtins, [*every_hang(), *every_greenlet_hang()]):
        for path in paths(whole):
            if (report := without(whole, path)) is not None:
                report.findings = diagnose.diagnose(report)
                assert all(line.isprintable() for line in format_report(report)), path


def test_the_reports_have_every_finding() -> None:
    codes = {
        finding.code
        for report in (everything(), *every_hang(), *every_greenlet_hang())
        for finding in diagnose.diagnose(report)
    }
    assert codes == {*diagnose.DIAGNOSES, "exception-swallowed"}
