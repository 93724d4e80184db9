"""What `threading.Thread.__repr__` prints (Lib/threading.py): the one function of Python's own that messages show.

`<Thread(exporter, started 139872)>`. It is told without running it, where it is threading's own function, and where
nothing that it would ask for is in doubt; otherwise the object is shown as any other.
"""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_attributes, read_tuple
from lastwords.cpython.dicts import find_item, named, read_items
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import find_global
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import INT, LONG, POINTER, Structs
from lastwords.cpython.text import read_text
from lastwords.cpython.types import Kind, read_kind, type_of

# Include/cpython/object.h: tp_dictoffset, tp_init, tp_alloc, tp_new, tp_free, tp_is_gc, tp_bases, tp_mro (2.2 to 3.15)
MRO_BEHIND_DICTOFFSET = 7 * POINTER
ACTIVE_LIMIT = 10_000
OLD = "_Thread_"  # 2.7 has its attributes private, and mangled


def find_thread_text(structs: Structs, address: int, kind: Kind) -> str | None:
    """What Thread's own `__repr__` prints of the object; None where it has another, or something is not certain."""
    if not isinstance(structs, Interpreter):
        return None
    try:
        return _tell(structs, address, kind) if _is_threads_own(structs, kind) else None
    except ReadError:
        return None


def _is_threads_own(interp: Interpreter, kind: Kind) -> bool:
    """Whether the first `__repr__` along the mro is the function that threading defined in Thread."""
    for one in _read_mro(interp, kind):
        found = find_item(interp, interp.number(one, "PyTypeObject", "tp_dict"), "__repr__")
        if found:
            return read_kind(interp, one).name == "Thread" and _is_of_threading(interp, found)
    return False


def _read_mro(interp: Interpreter, kind: Kind) -> list[int]:
    mro = interp.pointer(interp.at(kind.address, "PyTypeObject", "tp_dictoffset") + MRO_BEHIND_DICTOFFSET)
    found = read_tuple(interp, mro)
    if found[:1] != [kind.address]:
        raise ReadError(f"the type at {kind.address:#x} has no mro where it should be")
    return found


def _is_of_threading(interp: Interpreter, function: int) -> bool:
    if not type_of(interp, function).is_static("function"):
        return False
    code = interp.number(function, "PyFunctionObject", "func_code")
    name = read_text(interp, interp.number(code, "PyCodeObject", "co_name"))
    variables = interp.number(function, "PyFunctionObject", "func_globals")
    module = find_item(interp, variables, "__name__")
    return name == "__repr__" and module is not None and read_text(interp, module) == "threading"


def _tell(interp: Interpreter, address: int, kind: Kind) -> str | None:
    attributes = dict(named(interp, read_attributes(interp, address)))
    own = {name.removeprefix(OLD): value for name, value in attributes.items()}
    if not {"_name", "_started", "_daemonic", "_ident"} <= own.keys():
        return None  # Thread.__init__ was not called
    ident = read_int(interp, own["_ident"]) if interp.type_flags(own["_ident"]) & (INT | LONG) else None
    state = _find_state(interp, address, own, ident)
    if state is None:
        return None
    daemon = " daemon" if read_int(interp, own["_daemonic"]) else ""
    shown = f" {ident}" if ident is not None else ""
    return f"<{kind.name}({read_text(interp, own['_name'])}, {state}{daemon}{shown})>"


def _find_state(interp: Interpreter, address: int, own: dict[str, int], ident: int | None) -> str | None:
    """ "initial", "started" or "stopped"; None while a thread that is leaving may be either."""
    event = dict(named(interp, read_attributes(interp, own["_started"])))
    flag = event.get("_flag") or event.get("_Event__flag")
    if not flag:
        return None
    stopped = own.get("_stopped") or own.get("_is_stopped")
    if stopped and read_int(interp, stopped):
        return "stopped"
    if not read_int(interp, flag):
        return "initial"
    return "started" if "_stopped" in own else _find_end(interp, address, ident)


def _find_end(interp: Interpreter, address: int, ident: int | None) -> str | None:
    """A thread takes itself out of `threading._active` as its last step in Python; then its PyThreadState goes."""
    if interp.running is None:
        active = find_global(interp, "threading", "_active")
        interp.running = frozenset(value for _, value in read_items(interp, active, ACTIVE_LIMIT)) if active else None
    if interp.running is None:
        return None
    if address in interp.running:
        return "started"
    return "stopped" if all(known != ident for _, known, _ in interp.threads()) else None
