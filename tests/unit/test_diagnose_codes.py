"""Each remaining code: a program that has the bug, and near misses that have it not."""

from __future__ import annotations

import pytest

import sample_reports as sample
from lastwords import diagnose
from lastwords.model import Caught, Descriptor, ExceptionValue, Exit, Finding, Frame, Report, Thread, Value
from sample_reports import caught, native, python

WRITE = "_PyErr_WriteUnraisableMsg"
EVAL = "_PyEval_EvalFrameDefault"
EXTENSION = "/srv/packet.so"


def judge(one: Caught, **more: object) -> Finding:
    return diagnose.diagnose(sample.report(one, **more))[0]


def codes(one: Caught) -> set[str]:
    return {finding.code for finding in diagnose.diagnose(sample.report(one))}


DEL = [python("close", "/srv/app.py", 7, "self.session.close()"), python("__del__", "/srv/app.py", 9, "self.close()")]


@pytest.mark.parametrize(
    ("functions", "title"),
    [
        (["slot_tp_finalize", "PyObject_CallFinalizerFromDealloc", "subtype_dealloc", EVAL], "__del__ raised"),
        (["slot_tp_finalize.lto_priv.0", "subtype_dealloc", EVAL], "__del__ raised"),
        (["slot_tp_del", "subtype_dealloc", "PyEval_EvalFrameEx"], "__del__ raised"),
        (["_PyGen_Finalize", "gen_dealloc", EVAL], "closing an abandoned generator: __del__ raised"),
        (["green_dealloc(_greenlet*)", "frame_dealloc", EVAL], "killing an abandoned greenlet: __del__ raised"),
    ],
)
def test_finalizers(functions: list[str], title: str) -> None:
    finding = judge(caught(type="AttributeError", stack=native(WRITE, *functions), traceback=DEL))
    assert (finding.code, finding.certainty) == ("finalizer-failed", "certain")
    assert finding.title == f"{title} AttributeError at app.py:7, and nobody could catch it"
    assert {subject.line for subject in finding.subjects} == {None, 7, 9}


def test_a_finalizer_below_a_frame_without_a_name_is_only_likely() -> None:
    stack = native(WRITE, None, "PyObject_CallFinalizerFromDealloc", EVAL)
    assert judge(caught(stack=stack, traceback=DEL)).certainty == "likely"


def test_a_finalizer_without_c_names_is_guessed_by_its_method() -> None:
    finding = judge(caught(stack=native(None, None, None), traceback=DEL))
    assert (finding.code, finding.certainty) == ("finalizer-failed", "likely")


def test_a_finalizer_of_an_outer_level_is_not_to_blame() -> None:
    stack = native(WRITE, "unknown_caller", EVAL, "slot_tp_finalize", "subtype_dealloc", EVAL)
    assert codes(caught(stack=stack)) == {"exception-swallowed"}


def test_weakref_finalize_at_exit_prints_by_itself() -> None:
    exit_function = python("_exitfunc", "/usr/lib/python3.12/weakref.py", 642, "f()")
    stack = native("PyErr_Display", "sys_excepthook", "cfunction_vectorcall", EVAL)
    finding = judge(caught(how="printed", stack=stack, python_stack=[exit_function], phase="shutdown"))
    assert (finding.code, finding.certainty) == ("finalizer-failed", "certain")
    exit_function.file = "/srv/app.py"
    assert codes(caught(how="printed", stack=stack, python_stack=[exit_function])) == {"exception-swallowed"}


@pytest.mark.parametrize(
    ("functions", "what"),
    [
        (["handle_callback", "PyObject_ClearWeakRefs", "subtype_dealloc", EVAL], "weakref callback"),
        (["PyObject_ClearWeakRefs", "subtype_dealloc", EVAL], "weakref callback"),
        (["_CallPythonObject", "closure_fcn", "ffi_closure_unix64_inner", "qsort", EVAL], "ctypes callback"),
        (["atexit_callfuncs", "Py_FinalizeEx", "Py_RunMain"], "atexit callback"),
        (["invoke_gc_callback", "gc_collect_main", EVAL], "gc callback"),
        (["run_at_forkers", "PyOS_AfterFork_Child", "os_fork", EVAL], "at-fork hook"),
        (["step_callback", "sqlite3_step", EVAL], "sqlite3 callback"),
    ],
)
def test_callbacks(functions: list[str], what: str) -> None:
    finding = judge(caught(stack=native(WRITE, *functions)))
    assert (finding.code, finding.certainty) == ("callback-failed", "certain")
    assert finding.title == f"the {what} work raised ValueError at app.py:3; it had nobody to tell"


def test_old_versions_print_what_leaves_a_ctypes_callback() -> None:
    stack = native("PyErr_PrintEx", "PyErr_Print", "_CallPythonObject", "closure_fcn", "qsort")
    assert judge(caught(how="printed", stack=stack)).code == "callback-failed"


def extension(*functions: str | None) -> list[Frame]:
    return [*native(WRITE), *native(*functions, library=EXTENSION), *native(EVAL)]


def test_an_extension_that_drops_what_its_callback_raised() -> None:
    finding = judge(caught(stack=extension("on_field", "parse_packet")))
    assert (finding.code, finding.certainty) == ("callback-failed", "certain")
    assert finding.title.startswith("the callback work of on_field in packet.so raised ValueError")
    assert judge(caught(stack=extension(None))).certainty == "likely"


def test_an_extension_that_drops_its_own_exception_called_nobody_back() -> None:
    assert codes(caught(stack=extension("decode"), traceback=[])) == {"exception-swallowed"}


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "builtins.SystemExit", "exceptions.KeyboardInterrupt"])
def test_interrupts(kind: str) -> None:
    finding = judge(caught(type=kind, stack=native(WRITE, "slot_tp_finalize"), traceback=DEL))
    assert (finding.code, finding.certainty) == ("interrupt-lost", "certain")
    assert "inside __del__ at app.py:7" in finding.title


def test_an_interrupt_that_ended_the_program_was_not_lost() -> None:
    assert codes(caught(type="KeyboardInterrupt", how="uncaught")) == {"exception-swallowed"}


def test_a_class_of_the_same_name_is_no_interrupt() -> None:
    one = caught(type="app.KeyboardInterrupt", stack=native(WRITE, "slot_tp_finalize"), traceback=DEL)
    assert codes(one) == {"finalizer-failed"}


def hook_error(**more: object) -> Caught:
    first = ExceptionValue(type="ValueError", traceback=[python("work", "/srv/app.py", 5, "raise ValueError")])
    error = ExceptionValue(
        type="NameError", context=first, traceback=[python("hook", "/srv/app.py", 3, "report(args)")]
    )
    return caught(**({"how": "printed", "exception": error} | more))  # type: ignore[arg-type]


def test_a_failing_thread_hook() -> None:
    during = python("invoke_excepthook", "/usr/lib/python3.12/threading.py", 1207, "old_sys_excepthook(...)")
    finding = judge(hook_error(python_stack=[during]))
    assert (finding.code, finding.certainty) == ("hook-failed", "certain")
    assert finding.title == "threading.excepthook failed itself: NameError at app.py:3, while telling of ValueError"
    assert {subject.line for subject in finding.subjects} >= {3, 5}
    during.file = "/srv/hooks.py"
    assert "hook-failed" not in codes(hook_error(python_stack=[during]))


SHOWN = ("PyErr_Display", "_PyErr_PrintEx", "PyErr_PrintEx", "PyRun_SimpleFile")


def first_error(**more: object) -> Caught:
    """The exception that the hook was to tell of, as it is when printing begins."""
    settings: dict[str, object] = {"how": "uncaught", "id": "exception-0", "stack": native(*SHOWN[2:])}
    return caught(**(settings | more))  # type: ignore[arg-type]


def hook_findings(*exceptions: Caught) -> list[Finding]:
    return [one for one in diagnose.diagnose(sample.report(*exceptions)) if one.code == "hook-failed"]


def test_a_failing_sys_hook_is_shown_by_the_printer_itself() -> None:
    again = first_error(how="printed", id="exception-2", stack=native(*SHOWN))
    [finding] = hook_findings(first_error(), hook_error(stack=native(*SHOWN)), again)
    assert finding.certainty == "likely"
    assert finding.title == "sys.excepthook failed itself: NameError at app.py:3, while telling of ValueError"


def test_a_missing_sys_hook_did_not_fail() -> None:
    assert hook_findings(first_error(), first_error(how="printed", id="exception-2", stack=native(*SHOWN))) == []
    assert hook_findings(hook_error(stack=native(*SHOWN))) == []
    assert hook_findings(first_error(process="process-2"), hook_error(stack=native(*SHOWN))) == []


def flush_error(**more: object) -> Caught:
    error = ExceptionValue(type="BrokenPipeError", value="[Errno 32] Broken pipe", args=[Value(repr="32")])
    settings: dict[str, object] = {
        "stack": native(WRITE, "flush_std_files", "Py_FinalizeEx"),
        "phase": "finalizing",
        "exception": error,
        "object": Value(type="_io.TextIOWrapper", repr="<_io.TextIOWrapper name='<stdout>'>"),
    }
    return caught(**(settings | more))  # type: ignore[arg-type]


def test_a_closed_output() -> None:
    process = sample.process(exit=Exit(code=120), fds=[Descriptor(fd=1, target="pipe:[99]")])
    finding = judge(flush_error(), processes=[process])
    assert (finding.code, finding.certainty) == ("output-closed", "certain")
    assert finding.title == "the last flush of the program's output failed: BrokenPipeError (EPIPE)"
    assert {"fd 1: pipe:[99]"} <= {subject.name for subject in finding.subjects}
    assert "120" in {evidence.value for evidence in finding.evidence}


def test_a_closed_output_without_c_names_is_likely() -> None:
    assert judge(flush_error(stack=native(None, None))).certainty == "likely"


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "running", "stack": []},
        {"object": Value(type="socket.socket"), "stack": []},
        {"stack": native(WRITE, "iobase_finalize", "_Py_Dealloc")},
    ],
)
def test_other_files_are_not_the_programs_output(change: dict[str, object]) -> None:
    assert "output-closed" not in codes(flush_error(**change))


def test_an_import_while_finalizing() -> None:
    frames = [python("_find_spec", "<frozen importlib._bootstrap>", 1321), python("__del__", "/srv/app.py", 4)]
    stack = native(WRITE, "slot_tp_finalize")
    finding = judge(caught(type="ImportError", phase="finalizing", stack=stack, traceback=frames))
    assert (finding.code, finding.certainty) == ("too-late", "certain")
    assert "too-late" not in codes(caught(type="ImportError", stack=stack, traceback=frames))
    missing = caught(type="ModuleNotFoundError", phase="finalizing", stack=stack, traceback=frames)
    assert "too-late" not in codes(missing)


def test_a_thread_started_during_the_shutdown() -> None:
    frames = [python("start", "/usr/lib/python3.12/threading.py", 992), python("flush", "/srv/app.py", 6)]
    stack = native("atexit_callfuncs")
    late = caught(type="RuntimeError", phase="shutdown", stack=stack, traceback=frames)
    assert codes(late) == {"callback-failed", "too-late"}
    assert codes(caught(type="RuntimeError", stack=stack, traceback=frames)) == {"callback-failed"}
    assert codes(caught(type="RuntimeError", phase="shutdown", stack=stack)) == {"callback-failed"}


def crash() -> Report:
    stack = native("__pthread_kill_implementation", "raise", "abort", "decode", EVAL)
    fatal = caught(type=None, how="fatal", stack=stack, python_stack=[python("work", "/srv/app.py", 3)])
    return sample.report(fatal, processes=[sample.process(exit=Exit(signal=6))])


def test_a_crash_names_who_aborted() -> None:
    finding = diagnose.diagnose(crash())[0]
    assert (finding.code, finding.certainty) == ("fatal-exit", "certain")
    assert finding.title == "the process died of SIGABRT in decode, called from app.py:3"


def test_a_crash_that_was_not_caught_is_still_told() -> None:
    [finding] = diagnose.diagnose(sample.report(processes=[sample.process(exit=Exit(signal=11))]))
    assert finding.title == "the process died of SIGSEGV; where was not caught"


def test_every_finding_has_a_fix_and_an_explanation() -> None:
    reports = [sample.original(), crash(), sample.report(flush_error()), sample.report(hook_error())]
    for finding in (finding for report in reports for finding in diagnose.diagnose(report)):
        assert finding.explanation and finding.fix and finding.evidence


def test_a_greenlet_that_was_dropped_is_no_callback_of_its_library() -> None:
    killed = "_green_dealloc_kill_started_non_main_greenlet(greenlet::refs::BorrowedGreenlet)"
    finding = judge(caught(stack=extension(killed, "green_dealloc")))
    assert (finding.code, finding.certainty) == ("finalizer-failed", "certain")
    assert finding.title.startswith("killing an abandoned greenlet: work raised ValueError at app.py:3")


def test_a_finalizer_that_an_atexit_callback_set_off_is_a_finalizer() -> None:
    stack = native(WRITE, "slot_tp_finalize", "subtype_dealloc", "partial_dealloc", "atexit_callfuncs")
    assert codes(caught(stack=stack)) == {"finalizer-failed"}


def test_an_extension_that_prints_by_itself_swallowed_nothing_unseen() -> None:
    assert codes(caught(how="printed", stack=extension("decode"))) == {"exception-swallowed"}


def test_a_frame_of_an_unknown_library_is_not_an_extensions() -> None:
    stack = [*native(WRITE), Frame(kind="native", function="f"), *native(EVAL)]
    assert codes(caught(stack=stack)) == {"exception-swallowed"}


def test_python_frames_in_a_merged_stack_end_the_level() -> None:
    stack = [*native(WRITE, "f"), python("work", "/srv/app.py", 3), *native("slot_tp_finalize")]
    assert codes(caught(stack=stack)) == {"exception-swallowed"}


def test_frames_that_c_code_adds_are_not_what_was_called() -> None:
    made_up = Frame(kind="python", function="'calling callback function'", file="_ctypes/callbacks.c", line=315)
    frames = [python("compare", "/srv/app.py", 5), made_up]
    finding = judge(caught(how="printed", stack=native("PyErr_PrintEx", "_CallPythonObject"), traceback=frames))
    assert finding.title == "the ctypes callback compare raised ValueError at app.py:5; it had nobody to tell"


def test_the_loop_over_atexit_callbacks_of_27_is_not_what_was_called() -> None:
    loop = python("_run_exitfuncs", "/usr/lib/python2.7/atexit.py", 24)
    frames = [python("close", "/srv/app.py", 3), loop]
    finding = judge(caught(how="printed", stack=native("PyErr_PrintEx", "call_sys_exitfunc"), traceback=frames))
    assert finding.title.startswith("the atexit callback close raised")


def test_a_weakref_finalize_that_is_no_exit_is_one_too() -> None:
    frames = [python("clean", "/srv/app.py", 3), python("__call__", "/usr/lib/python3.12/weakref.py", 590)]
    stack = native(WRITE, "handle_callback", "PyObject_ClearWeakRefs")
    assert "weakref.finalize" in {
        one.title.split(":")[0]
        for one in diagnose.diagnose(sample.report(caught(stack=native(WRITE, "unknown"), traceback=frames)))
    }
    frames[1].file = "/srv/mine.py"
    assert codes(caught(stack=stack, traceback=frames)) == {"callback-failed"}


def test_evidence_names_the_line_the_exit_from_python_and_the_dropper() -> None:
    running = python("main", "/srv/app.py", 30, "del client")
    stack = native(WRITE, "slot_tp_finalize", "subtype_dealloc")
    finding = judge(caught(stack=stack, traceback=DEL, python_stack=[running]))
    assert [(one.text, one.line) for one in finding.evidence] == [
        ("ValueError was raised here", 7),
        ("it left __del__, which has no Python caller to tell", 9),
        ("this Python code was running when it was dropped", 30),
        ("the C function slot_tp_finalize had it last", None),
    ]


def test_a_single_frame_is_told_once() -> None:
    finding = judge(caught(stack=native(WRITE, "slot_tp_finalize"), python_stack=[python("work", "/srv/app.py", 3)]))
    assert [subject.line for subject in finding.subjects] == [None, 3]
    assert [one.line for one in finding.evidence if one.line] == [3, 3]


def test_the_same_again_is_one_finding_about_all() -> None:
    stack = native(WRITE, "_CallPythonObject")
    report = sample.report(*(caught(stack=stack, id=f"exception-{number}") for number in (1, 2, 3)))
    [finding] = diagnose.diagnose(report)
    assert [one.id for one in finding.subjects if one.id] == ["exception-1", "exception-2", "exception-3"]


def test_what_failed_before_as_well_did_not_fail_for_the_phase() -> None:
    stack = native(WRITE, "invoke_gc_callback")
    early = caught(type="NameError", stack=stack)
    late = caught(type="NameError", stack=stack, phase="finalizing", id="exception-2")
    assert [one.code for one in diagnose.diagnose(sample.report(early, late))] == ["callback-failed"]
    assert [one.code for one in diagnose.diagnose(sample.report(late))] == ["callback-failed", "too-late"]


def test_27_closes_its_standard_files_as_they_are_dropped() -> None:
    error = ExceptionValue(type="exceptions.IOError", args=[Value(repr="32")])
    stack = native("PyErr_PrintEx", "PyErr_Print", "file_dealloc", "dict_dealloc")
    finding = judge(caught(how="printed", phase="finalizing", stack=stack, exception=error))
    assert (finding.code, finding.certainty) == ("output-closed", "likely")


def test_names_of_threads_are_looked_up() -> None:
    report = sample.report(caught(how="thread", thread="thread-2"))
    report.threads = [Thread(id=f"thread-{n}", moment="moment-1", name=f"pump {n}") for n in (1, 2)]
    assert diagnose.diagnose(report)[0].title.startswith("thread pump 2 ended")


def test_is_healthy_is_about_the_findings() -> None:
    for report, expected in ((sample.report(), True), (crash(), False)):
        report.findings = diagnose.diagnose(report)
        assert diagnose.is_healthy(report) is expected
    report.findings += diagnose.diagnose(sample.report())
    assert not diagnose.is_healthy(report)


def test_several_healthy_processes_are_counted() -> None:
    report = sample.report(processes=[sample.process(), sample.process(id="process-2", pid=2)])
    assert diagnose.diagnose(report)[0].title == "nothing was caught in 2 processes"


WEAKREF = "/usr/lib/python3.12/weakref.py"


@pytest.mark.parametrize(
    "one",
    [
        caught(
            how="printed", python_stack=[python("_run", WEAKREF, 3)], stack=native("PyErr_Display", "sys_excepthook")
        ),
        caught(traceback=[python("__init__", WEAKREF, 3)], stack=native(WRITE, "unknown")),
        caught(traceback=[python("__call__", "/srv/weak.py", 3)], stack=native(WRITE, "unknown")),
        caught(traceback=[python("__call__", WEAKREF, 3)], how="thread"),
        caught(traceback=DEL, stack=native(WRITE, "unknown")),
        caught(traceback=DEL, how="thread"),
        caught(stack=native(None)),
    ],
)
def test_what_is_like_a_finalizer_and_is_none(one: Caught) -> None:
    assert codes(one) == {"exception-swallowed"}


def test_a_finalizer_that_is_not_known_by_name_is_named_by_its_object_or_kind() -> None:
    stack = native(WRITE, "_PyGen_Finalize")
    one = caught(stack=stack, traceback=[])
    assert judge(one).title == "closing an abandoned generator raised ValueError (1), and nobody could catch it"
    named = caught(stack=stack, traceback=[], object=Value(repr="<generator rows>"))
    assert judge(named).title.startswith("closing an abandoned generator: <generator rows> raised ValueError")


@pytest.mark.parametrize(
    "more",
    [
        {"how": "unraisable"},
        {"stack": native("PyErr_PrintEx", "PyRun_SimpleFile")},
        {"stack": native("PyErr_Display", "file_dealloc")},
        {"stack": native("PyErr_Display", "sys_excepthook", "cfunction_vectorcall", "_PyErr_PrintEx")},
        {"exception": ExceptionValue(type="IOError")},
    ],
)
def test_what_is_like_a_failing_sys_hook_and_is_none(more: dict[str, object]) -> None:
    assert hook_findings(first_error(), hook_error(**({"stack": native(*SHOWN)} | more))) == []


def test_another_function_of_threading_is_no_failing_hook() -> None:
    during = python("_bootstrap_inner", "/usr/lib/python3.12/threading.py", 1075)
    assert "hook-failed" not in codes(hook_error(python_stack=[during]))


THREADING = "/usr/lib/python3.12/threading.py"
GEVENT_THREAD = "/venv/lib/gevent/thread.py"


@pytest.mark.parametrize(
    ("kind", "phase", "function", "file", "expected"),
    [
        ("RuntimeError", "shutdown", "start", THREADING, True),
        ("RuntimeError", "finalizing", "start", THREADING, True),
        ("RuntimeError", "finalizing", "get_ident", GEVENT_THREAD, True),
        ("NameError", "finalizing", "work", "/srv/app.py", True),
        ("ValueError", "shutdown", "start", THREADING, False),
        ("RuntimeError", "shutdown", "join", THREADING, False),
        ("RuntimeError", "shutdown", "start", "/srv/app.py", False),
        ("RuntimeError", "shutdown", "get_ident", GEVENT_THREAD, False),
        ("ValueError", "finalizing", "get_ident", GEVENT_THREAD, False),
        ("RuntimeError", "finalizing", "work", "/srv/app.py", False),
        ("NameError", "shutdown", "work", "/srv/app.py", False),
        ("ImportError", "shutdown", "work", "/srv/app.py", False),
    ],
)
def test_what_ran_too_late(kind: str, phase: str, function: str, file: str, expected: bool) -> None:
    frames = [python(function, file, 4)]
    one = caught(type=kind, phase=phase, traceback=frames, stack=native(WRITE, "x"))  # type: ignore[arg-type]
    assert ("too-late" in codes(one)) is expected
    one.phase = "running"
    assert "too-late" not in codes(one)


def test_the_programs_own_end_is_not_too_late() -> None:
    frames = [python("start", THREADING, 4)]
    assert "too-late" not in codes(caught(type="RuntimeError", phase="shutdown", how="uncaught", traceback=frames))
