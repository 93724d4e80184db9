"""Swallowed exceptions: what tells where C functions have no names, what had been taken apart, who failed to tell."""

from __future__ import annotations

import pytest

import sample_reports as sample
from lastwords import diagnose
from lastwords.model import Caught, ExceptionValue, Exit, Finding, Value
from sample_reports import caught, native, python

STRIPPED = ("PyErr_FormatUnraisable", None, None, "Py_RunMain")
THREADING = "/usr/lib/python3.13/threading.py"
DEL = [python("__del__", "/srv/app.py", 9, "os.close(self.fd)")]


def judge(*exceptions: Caught) -> list[Finding]:
    return diagnose.diagnose(sample.report(*exceptions))


def first(one: Caught) -> tuple[str, str]:
    [finding, *_] = judge(one)
    return finding.code, finding.certainty


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        ("Exception ignored in atexit callback %R", "callback-failed", "the atexit callback work raised"),
        ("in atexit callback", "callback-failed", "the atexit callback work raised"),
        ("Exception ignored while calling GC callback %R", "callback-failed", "the gc callback work raised"),
        ("on calling ctypes callback function", "callback-failed", "the ctypes callback work raised"),
        ("Exception ignored on sqlite3 callback %R", "callback-failed", "the sqlite3 callback work raised"),
        ("Exception ignored in atfork callback %R", "callback-failed", "the at-fork hook work raised"),
        ("Exception ignored while calling deallocator %R", "finalizer-failed", "work raised"),
        ("Exception ignored while closing generator %R", "finalizer-failed", "closing an abandoned generator: work"),
        ("Exception ignored while flushing sys.stdout", "output-closed", "the last flush of the program's output"),
        ("Exception ignored in sys.unraisablehook", "hook-failed", "sys.unraisablehook failed itself"),
    ],
)
def test_without_c_names_the_words_of_the_c_code_tell(words: str, code: str, what: str) -> None:
    one = caught(stack=native(*STRIPPED), words=words)
    [finding, *_] = judge(one)
    assert (finding.code, finding.certainty) == (code, "certain")
    assert finding.title.startswith(what)


def test_words_that_nobody_knows_tell_nothing() -> None:
    assert (
        first(caught(stack=native(*STRIPPED), words="Exception ignored while knitting %R"))[0] == "exception-swallowed"
    )


def test_a_function_that_has_no_name_is_not_named_by_the_next_one() -> None:
    [finding] = judge(caught(stack=native(*STRIPPED)))
    assert finding.title == "ValueError at app.py:3, which left work, was swallowed"


def test_del_is_recognised_where_only_functions_further_out_have_names() -> None:
    assert first(caught(stack=native(*STRIPPED), traceback=DEL)) == ("finalizer-failed", "likely")


def test_an_exception_without_a_line_says_what_it_says() -> None:
    one = caught(stack=native("PyErr_WriteUnraisable", "_PyGen_Finalize"), traceback=[])
    one.object = Value(type="generator", repr="<generator object rows at 0x7f0000000010>")
    [finding] = judge(one)
    assert finding.title == "closing an abandoned generator: rows raised ValueError (1), and nobody could catch it"


def never_awaited(**more: object) -> Caught:
    dropped = Value(type="coroutine", repr="<coroutine object fetch at 0x7f0000000010>")
    settings: dict[str, object] = {"type": "RuntimeWarning", "object": dropped, "traceback": []}
    return caught(**(settings | more))  # type: ignore[arg-type]


def test_a_coroutine_that_was_never_awaited_is_named() -> None:
    warned = [python("_warn_unawaited_coroutine", "/usr/lib/python3.13/warnings.py", 692)]
    for traceback in ([], warned):
        [finding] = judge(never_awaited(traceback=traceback, stack=native("PyErr_WriteUnraisable", "_PyGen_Finalize")))
        assert (finding.code, finding.certainty) == ("finalizer-failed", "certain")
        assert finding.title.startswith("the coroutine fetch was never awaited: RuntimeWarning")


def test_a_coroutine_whose_own_code_failed_had_been_awaited() -> None:
    one = never_awaited(
        traceback=[python("fetch", "/srv/app.py", 4)], stack=native("PyErr_WriteUnraisable", "gen_close")
    )
    assert "never awaited" not in judge(one)[0].title


def test_what_weakref_finalize_called_is_named_and_no_weakref_callback() -> None:
    frames = [python("clean", "/srv/app.py", 4), python("__call__", "/usr/lib/python3.13/weakref.py", 590)]
    [finding] = judge(caught(traceback=frames, stack=native("PyErr_WriteUnraisable", "handle_callback")))
    assert finding.code == "finalizer-failed"
    assert finding.title == "weakref.finalize: clean raised ValueError at app.py:4, and nobody could catch it"


def test_globals_that_were_none_are_named() -> None:
    late = caught("AttributeError", native("PyErr_WriteUnraisable", "slot_tp_finalize"), DEL, phase="finalizing")
    late.gone = ["app.os", "app.sys"]
    [finding, *_] = judge(late)
    assert finding.title == (
        "__del__ raised AttributeError at app.py:9, and nobody could catch it; app.os, app.sys were None by then"
    )
    assert "as an attribute or a default argument" in finding.fix
    assert "app.os, app.sys" in [evidence.value for evidence in finding.evidence]


def test_what_fails_while_everything_is_there_is_not_blamed_on_the_end() -> None:
    for one in (
        caught("AttributeError", native("PyErr_WriteUnraisable", "slot_tp_finalize"), DEL),
        caught("KeyError", native("PyErr_WriteUnraisable", "slot_tp_finalize"), DEL, phase="finalizing", gone=["os"]),
    ):
        [finding, *_] = judge(one)
        assert "by then" not in finding.title
        assert "default argument" not in finding.fix


def test_a_thread_that_dies_is_not_a_hook_that_fails() -> None:
    during = python("invoke_excepthook", THREADING, 1290, "hook(args)")
    one = caught(
        how="thread", python_stack=[during], thread="loader", stack=native("_PyErr_Display", "thread_excepthook")
    )
    [finding] = judge(one)
    assert (finding.code, finding.title) == (
        "exception-swallowed",
        "thread loader ended by an uncaught ValueError at app.py:3",
    )


def test_a_thread_without_a_name_is_told_by_what_it_ran() -> None:
    [finding] = judge(caught(how="thread"))
    assert finding.title == "a thread that ran work ended by an uncaught ValueError at app.py:3"


def test_telling_of_a_thread_failed() -> None:
    """sys.stderr is closed: the second exception leaves even the function that catches all."""
    frames = [python("_bootstrap_inner", THREADING, 1043), python("_bootstrap", THREADING, 1012)]
    died = caught(how="thread", thread="loader", id="exception-2")
    telling = caught(how="thread")
    telling.exception = ExceptionValue(type="ValueError", traceback=frames, context=died.exception)
    found = [(finding.code, finding.certainty) for finding in judge(telling, died)]
    assert found == [("exception-swallowed", "certain"), ("hook-failed", "likely")]
    telling.exception.context = None  # raised as the thread was taken off the list: nothing was to be told
    assert "hook-failed" not in {finding.code for finding in judge(telling, died)}


def test_a_hook_that_the_interpreter_s_state_names() -> None:
    one = caught(how="printed", hook="sys.excepthook", stack=native("PyErr_Display", None, None, "Py_RunMain"))
    [finding] = judge(one)
    assert (finding.code, finding.certainty) == ("hook-failed", "certain")
    assert finding.title == "sys.excepthook failed itself: ValueError at app.py:3"


def test_a_flush_of_the_program_s_own_is_named() -> None:
    frames = [python("flush", "/srv/tee.py", 7, "self.out.flush()")]
    for stack in (native("PyErr_WriteUnraisable", "flush_std_files"), native("PyErr_WriteUnraisable", None)):
        [finding] = judge(caught(stack=stack, traceback=frames, phase="finalizing"))
        assert finding.code == "output-closed"
        assert finding.title == "the last flush of the program's output failed: ValueError at tee.py:7, in flush"
        assert "sys.__stdout__" in finding.fix
    [finding] = judge(caught(stack=native("PyErr_WriteUnraisable", None), traceback=frames))
    assert finding.code == "exception-swallowed"


def test_a_fatal_error_says_what_python_said() -> None:
    one = caught(None, native("abort", "fatal_error_exit", "Py_FatalError", "ffi_call_unix64"), how="fatal")
    one.message = "Fatal Python error: broken"
    report = sample.report(one)
    report.processes[0].exit = Exit(signal=6)
    assert diagnose.diagnose(report)[0].title == "the process died of SIGABRT: Fatal Python error: broken"
    one.message = "signal SIGABRT"
    assert diagnose.diagnose(report)[0].title == "the process died of SIGABRT in ffi_call_unix64"


def test_a_package_s_file_is_told_with_its_directory() -> None:
    [finding] = judge(caught(traceback=[python("work", "/usr/lib/python3.13/ctypes/__init__.py", 510)]))
    assert "ValueError at ctypes/__init__.py:510" in finding.title


def test_a_function_of_cython_that_cannot_raise_is_named_not_the_one_that_prints_for_it() -> None:
    stack = native("PyErr_WriteUnraisable", "__Pyx_WriteUnraisable", "__pyx_f_5quiet_half", "_PyEval_EvalFrameDefault")
    one = caught("ZeroDivisionError", stack, [], object=Value(type="str", repr="'quiet.half'"))
    assert judge(one)[0].title == "ZeroDivisionError (1), in 'quiet.half', was swallowed by __pyx_f_5quiet_half"
