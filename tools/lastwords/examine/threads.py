"""The report's threads: what the interpreter and the kernel say of each."""

from __future__ import annotations

from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import ReadError
from lastwords.cpython import Interpreter, read_handled_exception, read_pending_exception
from lastwords.cpython.frame import read_frames
from lastwords.cpython.locals import read_locals
from lastwords.cpython.threads import PythonThread
from lastwords.examine.entities import Entities
from lastwords.model import Thread

# The kernel's letters (proc(5), /proc/PID/stat).
STATES = {
    "R": "running", "S": "sleeping", "D": "in an uninterruptible sleep", "T": "stopped", "t": "stopped by a tracer",
    "Z": "zombie", "X": "dead", "I": "idle",
}  # fmt: skip


def make_thread(entities: Entities, interp: Interpreter, found: PythonThread, *, with_locals: bool) -> Thread:
    """A thread of the interpreter's, with its stack and exceptions."""
    thread = Thread(
        id=entities.state_id(found),
        moment=entities.moment.id,
        tid=found.tid,
        ns_tid=found.native_id if found.native_id != found.tid else None,
        ident=found.ident,
        name=found.name,
        daemon=found.daemon,
        is_main=found.is_main,
        interpreter=found.interpreter,
        alive=found.alive,
        finishing=found.finishing,
        error=found.error,
    )
    _add_kernel(thread, found.kernel)
    stack = read_frames(interp, found.places)
    thread.stack, thread.error = stack.frames, thread.error or stack.error
    if with_locals:
        for frame, place in zip(thread.stack, found.places, strict=False):  # a stack may end early
            frame.locals = read_locals(interp, place)
    _add_exceptions(thread, interp, found)
    return thread


def make_bare_thread(entities: Entities, found: KernelThread) -> Thread:
    """A thread of the kernel's that the interpreter does not know."""
    thread = Thread(
        id=entities.thread_id(found.tid, None),
        moment=entities.moment.id,
        tid=found.tid,
        ident=found.ident,
        name=found.name,
        alive=True,
    )
    _add_kernel(thread, found)
    return thread


def _add_kernel(thread: Thread, kernel: KernelThread | None) -> None:
    if kernel is not None:
        thread.state = STATES.get(kernel.state or "", kernel.state)
        thread.consistent = kernel.stood_still


def _add_exceptions(thread: Thread, interp: Interpreter, found: PythonThread) -> None:
    try:
        thread.handled = read_handled_exception(interp, found.tstate)
        thread.pending = read_pending_exception(interp, found.tstate)
    except ReadError as error:
        thread.error = thread.error or f"its exceptions: {error}"
