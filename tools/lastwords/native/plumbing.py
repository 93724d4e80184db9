"""Which C frames are machinery that tells nobody anything: how the interpreter calls, how the C library waits.

Told by the library that a frame is in (the interpreter's own, the C library), then by its function. What stays:

- all frames of extensions and other libraries; of the C library only the function that was called from outside of it;
  of libffi and greenlet none: they stand between functions that say more
- of the interpreter's functions (and those of the standard library's extension modules) those that the call machinery
  called (`list_sort`, `lock_acquire`), not those that these call in turn, but for a few that say what it does besides
  (`take_gil`, `gc_collect_main`)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import Literal

from lastwords.model import Frame
from lastwords.native.merge import base_name

Owner = Literal["python", "interpreter", "libc", "switchboard", "other"]

# glibc (to 2.33 in several files), musl
LIBC = re.compile(
    r"(libc|libpthread|libdl|librt|libm|ld|ld-linux-x86-64|ld-linux-aarch64)(-2\.\d+)?\.so(\.\d+)*"
    r"|(ld-musl|libc\.musl)-\w+\.so\.1|\[vdso\]"
)
# What only passes calls on, or switches stacks: greenlet's own module (gevent's are called _gevent_c...)
SWITCHBOARD = re.compile(r"libffi[-.].*so[.\d]*|_cffi_backend\..*so|_?greenlet\.(.*\.)?so")
KNOWN_LIMIT = 4096  # names, and libraries, that are not looked at again
EXTENSIONS = "lib-dynload"  # the directory of those that are not built into the interpreter

# How CPython calls something: the functions between two Python frames, or a Python frame and a built-in function. By
# their beginnings, as a pattern of so many words takes longer to compile than all else here takes.
CALLS = (
    "PyEval_", "_PyEval", "PyObject_", "_PyObject_", "PyCFunction_", "_PyCFunction_", "cfunction_", "PyMethodDef_",
    "_PyMethodDef_", "PyFunction_", "_PyFunction_", "method_call", "instancemethod_", "instance_call",
    "instance_init", "instance_new", "_PyCall", "PyStack_", "_PyStack_", "PyMember_", "_PyMember_", "callmethod",
    "_callfunction", "call_function", "call_method", "call_unbound", "call_trampoline", "call_attribute",
    "call_soon", "lookup_method", "lookup_maybe_method", "partial_call", "slot_", "_Py_slot_", "do_richcomp",
    "wrap_", "wrapper_", "wrapperdescr_", "method_get", "methoddescr_call", "methoddescr_get",
    "method_descriptor_call", "method_descriptor_get", "classmethoddescr_", "property_", "type_call", "type_new",
    "PyNumber_", "_PyNumber_", "ternary_op", "ternary_iop", "PySequence_Get", "PySequence_Set", "PySequence_Del",
    "PySequence_Contains", "_PySequence_Contains", "PyIter_", "_PyIter_", "PyGen_", "_PyGen_", "gen_send",
    "gen_iternext", "gen_close", "gen_throw", "gen_for", "async_gen_", "coro_", "PyImport_", "_PyImport_",
    "import_name", "import_from", "import_find_and_load", "import_ensure_initialized", "import_all_from",
    "import_submodule", "PyRun_", "_PyRun_", "Py_run_", "_Py_run_", "pyrun_", "run_mod", "run_eval_code_obj",
    "run_pyc_file", "run_command", "run_file", "PyErr_", "_PyErr_", "eval_frame", "Py_EnterRecursiveCall",
    "_Py_EnterRecursiveCall", "Py_LeaveRecursiveCall", "_Py_LeaveRecursiveCall", "_TAIL_CALL_",
)  # fmt: skip
CALL_NAMES = frozenset(
    {
        "function_call", "function_code_fastcall", "classobj_call", "PyInstance_New", "object_vacall",
        "null_vacall", "objectvacall", "do_call", "do_call_core", "fast_function", "ext_do_call", "getset_get",
        "tp_new_wrapper", "_gen_throw", "builtin_next", "load_next", "ensure_fromlist", "Py_INCREF",
        "Py_XINCREF", "Py_DECREF", "Py_XDECREF", "_Py_INCREF", "_Py_XINCREF", "_Py_DECREF", "_Py_XDECREF",
        "Py_CLEAR", "_Py_Dealloc", "_Py_HandlePending", "Py_MakePendingCalls", "_Py_MakePendingCalls",
        "handle_eval_breaker",
    }
)  # fmt: skip
CALL_ENDS = ("_descr_get", "_descr_set")
# From the first function of a process or a thread to the interpreter's loop
STARTS = ("pymain_", "__clone", "__libc_start")
START_NAMES = frozenset(
    {
        "_start", "main", "Py_Main", "Py_BytesMain", "Py_RunMain", "pythread_wrapper", "thread_run",
        "thread_bootstrap", "t_bootstrap", "start_thread", "clone", "clone3", "thread_start", "start",
    }
)  # fmt: skip
# What is worth a line wherever it is called from
TELLING = ("dlopen", "fatal_error", "Py_FatalError", "_Py_FatalError", "faulthandler_")
TELLING_NAMES = frozenset(
    {
        "take_gil", "gc_collect_main", "gc_collect_with_callback", "gc_collect_generations", "gc_collect_young",
        "gc_collect_full", "finalize_garbage", "Py_Finalize", "Py_FinalizeEx", "finalize_modules",
        "wait_for_thread_shutdown",
    }
)  # fmt: skip


def find_plumbing(frames: Sequence[Frame], interpreter: str | None) -> list[bool]:
    """For each frame of a stack, innermost first, whether it is machinery. `interpreter`: the library that holds it."""
    owners = [_owner(frame, interpreter) for frame in frames]
    found = [_is_plumbing(frames, owners, at) for at in range(len(frames))]
    if all(found) and "python" not in owners:  # a thread of the C library's own
        return [False] * len(found)
    return found


def _owner(frame: Frame, interpreter: str | None) -> Owner:
    return "python" if frame.kind == "python" else _owner_of(frame.library, interpreter)


@lru_cache(KNOWN_LIMIT)
def _owner_of(library: str | None, interpreter: str | None) -> Owner:
    path = PurePath(library or "")
    if library is not None and (library == interpreter or path.parent.name == EXTENSIONS):
        return "interpreter"
    if LIBC.fullmatch(path.name):
        return "libc"
    return "switchboard" if SWITCHBOARD.fullmatch(path.name) else "other"


def _is_plumbing(frames: Sequence[Frame], owners: Sequence[Owner], at: int) -> bool:
    frame, owner = frames[at], owners[at]
    if frame.plumbing or owner == "python":
        return frame.plumbing
    outer = at + 1
    name = base_name(frame.function)
    if owner == "libc":  # what nobody called is where a thread starts; what has no name is no entry
        return not name or outer == len(frames) or owners[outer] == "libc" or _is_start(name)
    if owner == "switchboard":
        return True
    if owner == "interpreter":
        return not _is_telling(name) and (_is_call(name) or not _is_called(frames, owners, outer))
    return _begins_python(frames, owners, at)


@lru_cache(KNOWN_LIMIT)
def _is_call(name: str) -> bool:
    """A function of the interpreter without a name is nobody's help either."""
    is_call = name in CALL_NAMES or name.startswith(CALLS) or name.endswith(CALL_ENDS) or "ectorcall" in name
    return not name or is_call or (name.startswith("call_") and "hook" in name) or _is_start(name)


def _is_start(name: str) -> bool:
    return name in START_NAMES or name.startswith(STARTS)


def _is_telling(name: str) -> bool:
    return name in TELLING_NAMES or name.startswith(TELLING) or name.endswith("_next")


def _is_called(frames: Sequence[Frame], owners: Sequence[Owner], caller: int) -> bool:
    """Whether the function was called from outside: by Python, a library, or the machinery that calls for these."""
    if caller == len(frames) or owners[caller] != "interpreter":
        return True
    return _is_call(base_name(frames[caller].function))


def _begins_python(frames: Sequence[Frame], owners: Sequence[Owner], at: int) -> bool:
    """Whether it is `main` or `_start` of an executable that only calls libpython."""
    name = base_name(frames[at].function)
    if name == "main":
        return at > 0 and owners[at - 1] == "interpreter"
    return name == "_start"
