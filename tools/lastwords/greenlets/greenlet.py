"""One greenlet: PyGreenlet (greenlet.h), and from greenlet 2 on the C++ object behind it (TGreenlet.hpp).

To greenlet 1 all is in the PyGreenlet, and `run_info` of one that was started is the dict of its thread's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import POINTER
from lastwords.greenlets.module import Module
from lastwords.greenlets.walk import Walked

MAIN_STOP = (1 << 64) - 1  # stack_stop of a main greenlet: above everything
STACK_LIMIT = 1 << 32  # bytes
PARENTS_LIMIT = 10_000
REFERENCES_LIMIT = 1 << 40
STATE = ("stack_start", "stack_stop", "stack_copy", "stack_saved", "top_frame")

State = Literal["running", "suspended", "unstarted", "dead"]


class SavedStack(msgspec.Struct, frozen=True):
    """The C stack of a greenlet is [start, stop); its first `saved` bytes are at `copy`, the others in place."""

    start: int
    stop: int
    copy: int
    saved: int

    def find(self, address: int) -> int:
        """Where what belongs at `address` is now."""
        return self.copy + address - self.start if self.start <= address < self.start + self.saved else address


class GreenletState(msgspec.Struct):
    """A greenlet as it was read.

    kind: the address of its type
    parent, main: greenlets, 0 for none; main: the main greenlet of its thread, itself for a main one
    thread_state: a main greenlet's ThreadState (greenlet 2 and newer), 0 where its thread has ended
    thread_dict: `PyThreadState.dict` of its thread (to greenlet 1), 0 where it was not started
    run: the callable that it runs or will run, 0 where greenlet does not keep it any more
    top_frame: the innermost Python frame of a suspended one, a frame object
    """

    address: int
    kind: int
    state: State
    is_main: bool
    parent: int
    main: int
    thread_state: int
    thread_dict: int
    run: int
    top_frame: int
    stack: SavedStack


def read_greenlet(module: Module, address: int) -> GreenletState:
    """The greenlet at `address`, checked to be one. Raises ReadError."""
    if not address or address % POINTER:
        raise ReadError(f"the object at {address:#x} is no greenlet")
    references, kind = module.interp.numbers(address, "PyObject", "ob_refcnt", "ob_type")
    if not module.is_type(kind):
        raise ReadError(f"the object at {address:#x} is no greenlet")
    if not 0 < references < REFERENCES_LIMIT:
        raise ReadError(f"the greenlet at {address:#x} is not alive")
    found = (_read_split if module.is_split else _read_whole)(module, address, kind)
    _check_links(module, found)
    return found


def _read_split(module: Module, address: int, kind: int) -> GreenletState:
    """Of greenlet 2 and newer."""
    inner = module.pointer(address, "PyGreenlet", "pimpl")
    if not inner or inner % POINTER:
        raise ReadError(f"the greenlet at {address:#x} has no state")
    has_self = module.layout.has("Greenlet", "self")
    *words, owner = module.pointers(inner, "Greenlet", *STATE, *(("self",) if has_self else STATE[:1]))
    found = _make_state(address, kind, inner, words)
    struct = "MainGreenlet" if found.is_main else "UserGreenlet"
    if (owner if has_self else module.pointer(inner, struct, "self")) != address:
        raise ReadError(f"the state at {inner:#x} is not that of the greenlet at {address:#x}")
    if found.is_main:
        found.main, found.thread_state = address, module.pointer(inner, struct, "thread_state")
    else:
        found.main, found.run, found.parent = module.pointers(inner, struct, "main_greenlet", "run_callable", "parent")
    return found


def _read_whole(module: Module, address: int, kind: int) -> GreenletState:
    """Of greenlet 0.4 and 1."""
    found = _make_state(address, kind, address, module.pointers(address, "Greenlet", *STATE))
    found.parent, information = module.pointers(address, "PyGreenlet", "parent", "run_info")
    if found.stack.stop:
        found.thread_dict = information
    else:
        found.run = information
    if found.is_main:
        found.main = address
    elif not found.parent:  # zeros behind a type's address look like one, or it was deallocated
        raise ReadError(f"the greenlet at {address:#x} has no parent")
    return found


def _make_state(address: int, kind: int, inner: int, words: Sequence[int]) -> GreenletState:
    """What all releases have, at `inner`: the fields STATE."""
    *of_stack, top_frame = words
    stack = SavedStack(*of_stack)
    if not _is_sane(stack):
        raise ReadError(f"the greenlet's state at {inner:#x} has a stack that cannot be")
    return GreenletState(
        address=address,
        kind=kind,
        state=_judge(stack, top_frame),
        is_main=stack.stop == MAIN_STOP,
        parent=0,
        main=0,
        thread_state=0,
        thread_dict=0,
        run=0,
        top_frame=top_frame,
        stack=stack,
    )


def _judge(stack: SavedStack, top_frame: int) -> State:
    """What the greenlet's own fields say; which one runs, its thread knows better."""
    if not stack.stop:
        return "unstarted"
    if not stack.start:
        return "dead"
    return "suspended" if top_frame else "running"


def _is_sane(stack: SavedStack) -> bool:
    size = stack.stop - stack.start
    if stack.saved and not (stack.copy and stack.start and 0 < stack.saved <= min(size, STACK_LIMIT)):
        return False
    return stack.stop == MAIN_STOP or size >= 0


def _check_links(module: Module, found: GreenletState) -> None:
    for other in {found.parent, found.main}:
        if other and not module.is_greenlet(other):
            raise ReadError(f"the greenlet at {found.address:#x} has a parent at {other:#x} that is none")


def read_frames(module: Module, found: GreenletState) -> Walked:
    """The frames of a suspended greenlet, read once in a moment.

    Frames that C code keeps on its stack (from 3.12 on) may have been copied away with it.
    """
    known = module.walked.get(found.address)
    if known is None:
        saved = found.stack
        part = saved.start, saved.start + saved.saved, saved.copy
        known = module.walked[found.address] = module.walker.walk(found.top_frame, part)
    return known


def find_main(known: dict[int, GreenletState], found: GreenletState) -> int:
    """The main greenlet of its thread: what it says itself, or the last of its parents; 0 where that is not known."""
    seen: set[int] = set()
    while not found.main:
        following = known.get(found.parent)
        if following is None or found.address in seen or len(seen) > PARENTS_LIMIT:
            return 0
        seen.add(found.address)
        found = following
    return found.main
