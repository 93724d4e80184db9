"""The greenlet that runs in a thread now: what gevent's `get_ident()` returns there is its address.

Read from greenlet's own state, never guessed, and checked against the greenlets that it names:
greenlet 0.4 and 1 (greenlet.c): the static `ts_current`, which is this thread's if its `run_info` is the thread's dict;
greenlet 2 and 3 (TThreadState.hpp): a thread-local pointer to a ThreadState{main_greenlet, current_greenlet}.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture import elf, procfs
from lastwords.capture.elf import Image
from lastwords.capture.memory import ReadError
from lastwords.cpython.dicts import find_item
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.structs import POINTER
from lastwords.cpython.types import bases, type_of

MODULES = ("PyInit__greenlet", "init_greenlet", "PyInit_greenlet", "initgreenlet")
SAVED = "__greenlet_ts_curkey"  # where greenlet 0.4 and 1 keep the current greenlet of the other threads
RUN_INFO = 64  # PyGreenlet.run_info of greenlet 0.4 and 1
DTV = 8  # x86-64: the thread control block's second word points at the vector of TLS blocks
DTV_ENTRIES = (16, 8)  # bytes of one: glibc's, musl's
TLS_LIMIT = 4096


def find_current_greenlet(interp: Interpreter, ident: int) -> int | None:
    """The address of the running greenlet of the thread with that ident; None where it cannot be told.

    Also None where the thread has none yet: it would be made by the call.
    """
    try:
        image = _find_greenlet_module(interp)
        if image is None:
            return None
        static = image.address("ts_current")
        if static is not None:
            return _find_static(interp, ident, static)
        state = next(find_thread_states(interp, ident, image), None)
        return interp.pointer(state + POINTER) if state else None
    except (ReadError, OSError, procfs.ProcessGoneError):
        return None


def _find_greenlet_module(interp: Interpreter) -> Image | None:
    if interp.pid is None:
        return interp.find_file(MODULES) if interp.find_file else None
    maps = [mapping for mapping in procfs.read_maps(interp.pid) if "greenlet" in mapping.path]
    return elf.find_image(interp.pid, maps, MODULES)


def is_greenlet(interp: Interpreter, address: int) -> bool:
    """Whether the object is a `greenlet.greenlet` or of a class made from it."""
    if address % POINTER or not address:
        return False
    return any(base.name == "greenlet.greenlet" for base in bases(interp, type_of(interp, address)))


def _find_static(interp: Interpreter, ident: int, static: int) -> int | None:
    tstate = interp.find_thread(ident)
    variables = interp.number(tstate, "PyThreadState", "dict") if tstate else 0
    current = interp.pointer(static)
    if variables and current and interp.pointer(current + RUN_INFO) == variables:
        return current if is_greenlet(interp, current) else None
    saved = find_item(interp, variables, SAVED) if variables else None
    return saved if saved and is_greenlet(interp, saved) else None


def find_thread_states(interp: Interpreter, ident: int, image: Image) -> Iterator[int]:
    """Each ThreadState that a thread-local word of the module (greenlet 2 and newer) points at: there is one."""
    for block in _find_tls_blocks(interp, ident, image):
        for state in interp.pointers(block, min(image.elf.tls_size, TLS_LIMIT) // POINTER):
            if _is_thread_state(interp, state):
                yield state


def _find_tls_blocks(interp: Interpreter, ident: int, image: Image) -> list[int]:
    """Where the module's thread-local variables of that thread are; none before the thread used them."""
    ids = {interp.pointer(slot + image.bias) for slot in image.elf.tls_slots}
    vector = interp.pointer(ident + DTV)
    blocks = (interp.pointer(vector + number * size) for size in DTV_ENTRIES for number in ids)
    return [block for block in blocks if block and block % POINTER == 0]


def _is_thread_state(interp: Interpreter, address: int) -> bool:
    if address < TLS_LIMIT or address % POINTER:
        return False
    try:
        return all(is_greenlet(interp, found) for found in interp.pointers(address, 2))
    except ReadError:
        return False
