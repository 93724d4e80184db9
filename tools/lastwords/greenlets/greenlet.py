"""One greenlet: PyGreenlet (greenlet.h), and from greenlet 2 on the C++ object behind it (TGreenlet.hpp).

To greenlet 1 all is in the PyGreenlet, and `run_info` of one that was started is the dict of its thread's state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import FRAMES_LIMIT, Place, read_object, read_record
from lastwords.cpython.structs import POINTER
from lastwords.greenlets.module import Module

MAIN_STOP = (1 << 64) - 1  # stack_stop of a main greenlet: above everything
STACK_LIMIT = 1 << 32  # bytes
PARENTS_LIMIT = 10_000
REFERENCES_LIMIT = 1 << 40

State = Literal["running", "suspended", "unstarted", "dead"]


class SavedStack(NamedTuple):
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
    if not module.is_greenlet(address):
        raise ReadError(f"the object at {address:#x} is no greenlet")
    if not 0 < module.interp.number(address, "PyObject", "ob_refcnt") < REFERENCES_LIMIT:
        raise ReadError(f"the greenlet at {address:#x} is not alive")
    found = _read_split(module, address) if module.is_split else _read_whole(module, address)
    _check_links(module, found)
    return found


def _read_split(module: Module, address: int) -> GreenletState:
    """Of greenlet 2 and newer."""
    inner = module.pointer(address, "PyGreenlet", "pimpl")
    if not inner or inner % POINTER:
        raise ReadError(f"the greenlet at {address:#x} has no state")
    stack = _read_stack(module, inner)
    is_main = stack.stop == MAIN_STOP
    struct = "MainGreenlet" if is_main else "UserGreenlet"
    self_struct = "Greenlet" if module.layout.has("Greenlet", "self") else struct
    if module.pointer(inner, self_struct, "self") != address:
        raise ReadError(f"the state at {inner:#x} is not that of the greenlet at {address:#x}")
    found = _make(module, address, inner, stack)
    if is_main:
        found.main, found.thread_state = address, module.pointer(inner, struct, "thread_state")
    else:
        found.parent = module.pointer(inner, struct, "parent")
        found.main = module.pointer(inner, struct, "main_greenlet")
        found.run = module.pointer(inner, struct, "run_callable")
    return found


def _read_whole(module: Module, address: int) -> GreenletState:
    """Of greenlet 0.4 and 1."""
    found = _make(module, address, address, _read_stack(module, address))
    found.parent = module.pointer(address, "PyGreenlet", "parent")
    information = module.pointer(address, "PyGreenlet", "run_info")
    if found.stack.stop:
        found.thread_dict = information
    else:
        found.run = information
    if found.is_main:
        found.main = address
    elif not found.parent and found.state != "dead":  # zeros behind a type's address look like one
        raise ReadError(f"the greenlet at {address:#x} has no parent")
    return found


def _make(module: Module, address: int, inner: int, stack: SavedStack) -> GreenletState:
    top_frame = module.pointer(inner, "Greenlet", "top_frame")
    return GreenletState(
        address=address,
        kind=module.interp.number(address, "PyObject", "ob_type"),
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


def _read_stack(module: Module, inner: int) -> SavedStack:
    names = ("stack_start", "stack_stop", "stack_copy", "stack_saved")
    stack = SavedStack(*(module.pointer(inner, "Greenlet", name) for name in names))
    size = stack.stop - stack.start
    is_sane = stack.saved == 0 or (stack.copy and stack.start and 0 < stack.saved <= min(size, STACK_LIMIT))
    if not is_sane or (stack.stop != MAIN_STOP and size < 0):
        raise ReadError(f"the greenlet's state at {inner:#x} has a stack that cannot be")
    return stack


def _check_links(module: Module, found: GreenletState) -> None:
    for other in {found.parent, found.main}:
        if other and not module.is_greenlet(other):
            raise ReadError(f"the greenlet at {found.address:#x} has a parent at {other:#x} that is none")


def read_places(module: Module, found: GreenletState) -> Iterator[Place]:
    """The places of the frames of a suspended greenlet, innermost first. Raises ReadError.

    Frames that C code keeps on its stack (from 3.12 on) may have been copied away with it.
    """
    structs = module.interp
    address = found.top_frame
    if address and structs.has("PyFrameObject", "f_frame"):
        address = structs.number(address, "PyFrameObject", "f_frame")
    read = read_record if structs.has("_PyInterpreterFrame") else read_object
    seen: set[int] = set()
    while address:
        if address in seen or len(seen) >= FRAMES_LIMIT:
            raise ReadError(f"the frames come back to {address:#x}, or are more than {FRAMES_LIMIT}")
        seen.add(address)
        place, address = read(structs, found.stack.find(address))
        if place is not None:
            yield place


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
