"""Which C frames are machinery: by library, then by function; who called Python and who waits stays visible."""

from __future__ import annotations

import pytest

from lastwords.model import Frame
from lastwords.native.plumbing import find_plumbing

PYTHON, LIBC = "/opt/bin/python3", "/usr/lib/x86_64-linux-gnu/libc.so.6"
FRAME = Frame(kind="python", function="f")


def in_python(*names: str | None) -> list[Frame]:
    return [Frame(kind="native", function=name, library=PYTHON) for name in names]


def in_library(path: str, *names: str | None) -> list[Frame]:
    return [Frame(kind="native", function=name, library=path) for name in names]


def visible(*frames: Frame) -> list[str | None]:
    shown = find_plumbing(frames, PYTHON)
    return [frame.function for frame, is_plumbing in zip(frames, shown, strict=True) if not is_plumbing]


STARTED = [
    *in_python("_PyEval_Vector", "method_vectorcall", "thread_run", "pythread_wrapper"),
    *in_library(LIBC, "start_thread", "clone3"),
]


@pytest.mark.parametrize(
    ("inside", "shown"),
    [
        (["acquire_timed", "lock_PyThread_acquire_lock", "method_vectorcall_VARARGS_KEYWORDS", "PyObject_Vectorcall"],
         ["lock_PyThread_acquire_lock"]),
        (["binarysort", "list_sort_impl", "list_sort", "cfunction_call", "builtin_sorted"],
         ["list_sort", "builtin_sorted"]),
        (["take_gil", "PyEval_RestoreThread", "_Py_HandlePending"], ["take_gil"]),
        (["slot_tp_finalize", "PyObject_CallFinalizer", "subtype_dealloc", "_Py_Dealloc"], ["subtype_dealloc"]),
        (["finalize_garbage", "gc_collect_main.isra.0", "gc_collect_generations", "_PyObject_GC_New", "PyDict_New"],
         ["finalize_garbage", "gc_collect_main.isra.0", "gc_collect_generations", "PyDict_New"]),
        (["filter_next", "map_next", "list_extend", "list___init__", "type_call", "_PyObject_MakeTpCall"],
         ["filter_next", "map_next", "list___init__"]),
        ([None, "long_mul", "PyNumber_Multiply"], ["long_mul"]),
        ([None, None], []),
    ],
)  # fmt: skip
def test_between_python_and_python(inside: list[str | None], shown: list[str]) -> None:
    assert visible(*in_python(*inside), FRAME, *STARTED) == [*shown, "f"]


def test_of_the_c_library_what_was_called() -> None:
    waits = in_library(LIBC, "__futex_abstimed_wait_common", "sem_clockwait")
    assert visible(*waits, *in_python("acquire_timed"), FRAME) == ["sem_clockwait", "acquire_timed", "f"]
    sorts = in_library(LIBC, "msort_with_tmp", "qsort_r")
    ffi = in_library("/lib/libffi.so.8.1.2", None, "ffi_call")
    called = in_library(
        "/opt/lib/lib-dynload/_ctypes.so", "_call_function_pointer", "_ctypes_callproc", "PyCFuncPtr_call"
    )
    assert visible(FRAME, *sorts, *ffi, *called, FRAME) == ["f", "qsort_r", "PyCFuncPtr_call", "f"]
    assert visible(*in_library("/lib/ld-musl-x86_64.so.1", None, "sem_timedwait"), FRAME) == ["sem_timedwait", "f"]


def test_extensions_stay_as_they_are() -> None:
    frames = in_library("/site/fast.so", "inner", None, "outer", "PyInit_fast")
    assert visible(*frames, *in_python("cfunction_call"), FRAME) == ["inner", None, "outer", "PyInit_fast", "f"]


def test_how_a_process_starts() -> None:
    start = [*in_python("Py_RunMain", "Py_BytesMain"), *in_library("/opt/bin/python", "main")]
    start += [
        *in_library(LIBC, "__libc_start_call_main", "__libc_start_main"),
        *in_library("/opt/bin/python", "_start"),
    ]
    assert visible(FRAME, *in_python("_PyEval_Vector", "PyEval_EvalCode", "run_mod", "pymain_run_file"), *start) == [
        "f"
    ]
    ends = in_python("wait_for_thread_shutdown", "Py_FinalizeEx")
    assert visible(FRAME, *ends, *start) == ["f", "wait_for_thread_shutdown", "Py_FinalizeEx"]


def test_the_main_of_an_embedding_program_is_its_own() -> None:
    frames = [FRAME, *in_python("PyObject_CallObject"), *in_library("/usr/bin/uwsgi", "uwsgi_start", "main", "_start")]
    assert visible(*frames) == ["f", "uwsgi_start", "main"]


def test_a_thread_without_python_is_shown_whole_if_nothing_else_is_left() -> None:
    frames = in_library(LIBC, "sigwaitinfo", "timer_helper_thread", "start_thread", "clone3")
    assert visible(*frames) == [frame.function for frame in frames]
    worker = [*frames[:1], *in_library("/lib/libopenblas.so.0", "blas_thread_server"), *frames[2:]]
    assert visible(*worker) == ["sigwaitinfo", "blas_thread_server"]


def test_greenlets_way_of_switching() -> None:
    switches = in_library("/site/greenlet/_greenlet.cpython-311-x86_64-linux-gnu.so", "slp_switch", "g_switch")
    assert visible(*switches, *in_python("method_vectorcall_VARARGS"), FRAME) == ["f"]
