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

# How CPython calls something: the functions between two Python frames, or a Python frame and a built-in function.
CALLS = re.compile(
    r"""
    _?PyEval_\w+ | _PyEval\w* | _?PyObject_\w* | _Py\w*_?[Vv]ectorcall\w* | \w*_vectorcall(_\w+)? | vectorcall_\w+
    | _?PyCFunction_\w+ | cfunction_\w+ | _?PyMethodDef_\w+ | _?PyFunction_\w+ | function_(call|code_fastcall)
    | method_(call|vectorcall)\w* | instancemethod_\w+ | instance_(call|init|new)\w* | classobj_call
    | _?PyVectorcall_\w+ | _PyCall\w+ | _?PyStack_\w+ | PyInstance_New | _?PyMember_\w+
    | (object|null)_?vacall | callmethod\w* | _callfunction\w*
    | call_(function|method|unbound\w*|trampoline\w*|attribute|soon)\w*
    | do_call(_core)? | fast_function | ext_do_call | lookup_(maybe_)?method\w* | partial_(call|vectorcall)\w*
    | (_Py_)?slot_\w+ | (do|try_\w+)_?richcomp\w* | wrap_\w+ | wrapper(descr)?_\w+
    | method(descr|_descriptor)?_(call|get)\w* | classmethoddescr_\w+
    | getset_get | property_\w+ | type_(call|new|vectorcall)\w* | tp_new_wrapper | \w+_descr_(get|set)
    | _?PyNumber_\w+ | (bi|tern)ary_i?op\w* | _?PySequence_(Get|Set|Del|Contains)\w* | _?PyIter_\w+ | _?PyGen_\w+
    | gen_(send|iternext|close|throw|for)\w* | _gen_throw | async_gen_\w+ | coro_\w+ | builtin_next
    | _?PyImport_\w+ | import_(name|from|find_and_load|ensure_initialized|all_from|submodule)\w*
    | load_next | ensure_fromlist
    | _?PyRun_\w+ | _?Py_?run_\w+ | pyrun_\w+ | run_(mod|eval_code_obj|pyc_file|command|module|file)\w* | _?PyErr_\w+
    | _?Py_(X?(IN|DE)CREF|Dealloc|CLEAR|(Enter|Leave)RecursiveCall\w*|HandlePending|MakePendingCalls)
    | eval_frame\w* | handle_eval_breaker | _TAIL_CALL_\w+ | call_\w*hook\w*
    """,
    re.VERBOSE,
)
# From the first function of a process or a thread to the interpreter's loop
STARTS = re.compile(
    r"_start|main|Py_(Bytes|Run)?Main|pymain_\w+|pythread_wrapper|thread_run|thread_bootstrap|t_bootstrap"
    r"|start_thread|clone3?|__clone\w*|__libc_start\w*|thread_start|start"
)
# What is worth a line wherever it is called from
TELLING = re.compile(
    r"take_gil|gc_collect_(main|with_callback|generations|young|full)|finalize_garbage|\w+_next|dlopen\w*"
    r"|Py_Finalize(Ex)?|finalize_modules|wait_for_thread_shutdown|fatal_error\w*|_?Py_FatalError\w*|faulthandler_\w+"
)


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
        return not name or outer == len(frames) or owners[outer] == "libc" or bool(STARTS.fullmatch(name))
    if owner == "switchboard":
        return True
    if owner == "interpreter":
        return not TELLING.fullmatch(name) and (_is_call(name) or not _is_called(frames, owners, outer))
    return _begins_python(frames, owners, at)


@lru_cache(KNOWN_LIMIT)
def _is_call(name: str) -> bool:
    """A function of the interpreter without a name is nobody's help either."""
    return not name or bool(CALLS.fullmatch(name) or STARTS.fullmatch(name))


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
