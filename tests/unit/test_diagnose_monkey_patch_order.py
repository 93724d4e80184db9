"""monkey-patch-order: certain with all its facts, less with fewer, and nothing for programs that only look like it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import sample_reports as sample
from lastwords import diagnose
from lastwords.diagnose.patches import patched_too_late
from lastwords.frames import own_frame
from lastwords.model import ActiveThread, Finding, Imports, Process, Report, Value

CODE = "monkey-patch-order"
Change = Callable[[Report], None]


def first(report: Report) -> Finding:
    return diagnose.diagnose(report)[0]


def places(finding: Finding) -> list[tuple[str, str | None, int | None]]:
    return [(subject.kind, subject.file, subject.line) for subject in finding.subjects if subject.file]


def test_the_original_case() -> None:
    finding = first(sample.original())
    assert (finding.code, finding.certainty) == (CODE, "certain")
    assert finding.title == "threading was imported (pool.py:7) before gevent patched it (app.py:5)"
    assert places(finding) == [("import", "/srv/pool.py", 7), ("patch", "/srv/app.py", 5)]
    evidence = " ".join(f"{one.text} {one.file}:{one.line} {one.value}" for one in finding.evidence)
    for fact in (str(sample.NATIVE), str(sample.GREENLET), "gevent.thread", "threading.py:893", "/srv/app.py:1"):
        assert fact in evidence
    assert "monkey.patch_all()" in finding.fix


def test_a_thread_that_was_started_before_the_patch() -> None:
    finding = first(sample.native_thread())
    assert (finding.code, finding.certainty) == (CODE, "certain")
    assert finding.title == "thread exporter was started before gevent patched threading (app.py:5)"


def test_a_patch_off_the_main_thread() -> None:
    report = sample.native_thread()
    report.imports.patches[0].thread = report.threading[0].native_ident
    report.threading[0].active[1].type = "threading.Thread"
    assert first(report).title == "gevent patched threading off the main thread (app.py:5)"


def test_the_main_thread_suffers_from_a_patch_off_it() -> None:
    report = sample.original()
    report.threading[0].active[0].type = "threading._MainThread"
    report.imports.patches[0].thread = sample.NATIVE + 8192
    assert first(report).title == "gevent patched threading off the main thread (app.py:5)"


def drop_imports(report: Report) -> None:
    report.imports = Imports()


def drop_greenlet_ident(report: Report) -> None:
    report.threading[0].current_ident = None


def half_read(report: Report) -> None:
    report.threading[0].error = "the dictionary changed"


def patch_of_another_module(report: Report) -> None:
    report.imports.patches[0].module = "os"


def patch_of_other_attributes(report: Report) -> None:
    report.imports.patches[0].attributes = ["local"]


def drop_the_arguments(report: Report) -> None:
    assert report.exceptions[0].exception
    report.exceptions[0].exception.args = []


@pytest.mark.parametrize(
    "change",
    [
        drop_imports,
        drop_greenlet_ident,
        half_read,
        patch_of_another_module,
        patch_of_other_attributes,
        drop_the_arguments,
    ],
)
def test_with_a_fact_missing_it_is_only_likely(change: Change) -> None:
    report = sample.original()
    change(report)
    assert (first(report).code, first(report).certainty) == (CODE, "likely")


def native_get_ident(report: Report) -> None:
    report.threading[0].get_ident_module = "thread"


def other_module(report: Report) -> None:
    assert report.exceptions[0].exception
    report.exceptions[0].exception.traceback[0].file = "/srv/registry.py"


def other_module_of_the_same_file_name(report: Report) -> None:
    assert report.exceptions[0].exception
    report.exceptions[0].exception.traceback[0].module = "app.threading"


def other_line_of_threading(report: Report) -> None:
    assert report.exceptions[0].exception
    report.exceptions[0].exception.traceback[0].source = "del _limbo[self]"


def other_exception(report: Report) -> None:
    assert report.exceptions[0].exception
    report.exceptions[0].exception.type = "app.KeyError"


def entry_was_removed(report: Report) -> None:
    report.threading[0].active = []


def entry_is_there(report: Report) -> None:
    report.threading[0].active.append(ActiveThread(key=sample.GREENLET, name="MainThread"))


def another_key(report: Report) -> None:
    assert report.exceptions[0].exception
    report.exceptions[0].exception.args = [Value(type="int", repr="12")]


def the_native_key(report: Report) -> None:
    assert report.exceptions[0].exception
    report.exceptions[0].exception.args = [Value(type="int", repr=str(sample.NATIVE))]
    report.threading[0].current_ident = None
    report.threading[0].active[0].key = sample.NATIVE + 1


def patched_before_the_import(report: Report) -> None:
    report.imports = sample.imports(import_order=5, patch_order=2)


def state_of_another_moment(report: Report) -> None:
    report.threading[0].moment = "moment-2"


@pytest.mark.parametrize(
    "change",
    [
        native_get_ident,
        other_module,
        other_module_of_the_same_file_name,
        other_line_of_threading,
        other_exception,
        entry_was_removed,
        entry_is_there,
        another_key,
        the_native_key,
        patched_before_the_import,
        state_of_another_moment,
    ],
)
def test_a_near_miss_gets_another_verdict(change: Change) -> None:
    report = sample.original()
    change(report)
    assert CODE not in {finding.code for finding in diagnose.diagnose(report)}


def test_several_errors_of_one_process_are_one_finding() -> None:
    report = sample.original()
    again = sample.original().exceptions[0]
    again.id = "exception-2"
    report.exceptions.append(again)
    [finding] = diagnose.diagnose(report)
    assert [subject.id for subject in finding.subjects if subject.id] == ["exception-1", "exception-2"]


def test_a_forked_child_inherits_imports_and_patch() -> None:
    report = sample.original()
    report.processes.append(Process(id="process-2", pid=4712, ppid=4711))
    report.exceptions[0].process = "process-2"
    finding = first(report)
    assert (finding.code, finding.certainty, finding.process) == (CODE, "certain", "process-2")


def test_the_import_before_the_fork_is_older_than_the_patch_after_it() -> None:
    report = sample.original()
    report.processes.append(Process(id="process-2", pid=4712, ppid=4711))
    report.exceptions[0].process = "process-2"
    report.imports.patches[0].process = "process-2"
    report.imports.patches[0].order = 0
    assert first(report).certainty == "certain"


def test_patched_too_late_lists_imports_older_than_their_patch() -> None:
    [late] = patched_too_late(sample.original())
    assert (late.module, late.before) == ("threading", True)
    assert late.import_at and (late.import_at.file, late.import_at.line) == ("/srv/pool.py", 7)
    assert late.patch_at and (late.patch_at.file, late.patch_at.line) == ("/srv/app.py", 5)


def test_patched_too_late_leaves_out_what_came_in_time_or_by_gevent_itself() -> None:
    report = sample.original()
    report.imports = sample.imports(import_order=5, patch_order=2)
    assert patched_too_late(report) == []
    report.imports = sample.imports()
    report.imports.watched[0].first_importer.append(
        sample.python("<module>", "/venv/lib/gevent/hub.py", 3, "import threading")
    )
    assert patched_too_late(report) == []


def test_an_import_before_the_programs_first_line_has_no_importer() -> None:
    report = sample.original()
    report.imports.watched[0].first_importer = []
    finding = first(report)
    assert (finding.code, finding.certainty) == (CODE, "certain")
    assert finding.title == "threading was imported before gevent patched it (app.py:5)"
    assert "before the program's first line" in " ".join(evidence.text for evidence in finding.evidence)


def test_an_import_in_the_child_is_younger_than_the_patch_before_the_fork() -> None:
    report = sample.original()
    report.processes.append(Process(id="process-2", pid=4712, ppid=4711))
    report.exceptions[0].process = "process-2"
    report.imports.watched[0].process = "process-2"
    assert CODE not in {finding.code for finding in diagnose.diagnose(report)}


def test_gevents_frames_are_told_by_module_or_directory() -> None:
    frames = [
        sample.python("patch_item", "/odd/place.py", 1, module="gevent.monkey"),
        sample.python("<module>", "/srv/gevent/app.py", 2, module="__main__"),
    ]
    assert own_frame(frames) is frames[1]
    assert own_frame(frames[:1]) is frames[0]
    assert own_frame([]) is None


def test_the_evidence_is_all_there_in_the_order_of_the_story() -> None:
    assert [(one.text, one.line or one.value) for one in first(sample.original()).evidence] == [
        ("KeyError was raised by threading itself, on its registry of threads", 893),
        ("threading was imported first here", 7),
        ("which was itself imported here", 1),
        ("gevent's patch was applied here, afterwards", 5),
        ("the key that is missing (the exception's argument)", "139999007000000"),
        ("what get_ident returns in this thread: the id of its greenlet", "139999007000000 (0x7f540f14c5c0)"),
        ("get_ident is gevent's: get_ident", "gevent.thread"),
        ("the thread's native ident", "139999000001344 (0x7f540ea9fb40)"),
        ("the keys of threading._active", "139999000001344 (MainThread)"),
    ]


def test_a_patch_off_the_main_thread_is_evidence() -> None:
    report = sample.original()
    report.imports.patches[0].thread = sample.NATIVE + 8192
    texts = [one.text for one in first(report).evidence]
    assert "the thread that patched, which is not the main one" in texts


def test_other_processes_imports_and_patches_do_not_count() -> None:
    report = sample.original()
    report.processes.append(Process(id="process-2", pid=4712, ppid=1))
    report.imports.patches[0].process = "process-2"
    for watched in report.imports.watched:
        watched.process = "process-2"
    finding = first(report)
    assert finding.certainty == "likely"
    assert places(finding) == []
