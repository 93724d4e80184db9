"""The interpreter's threads (PyThreadState), each with its frames and with the kernel's thread that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import Place, read_places
from lastwords.cpython.interpreter import Interpreter


@dataclass
class PythonThread:
    """A PyThreadState. `interpreter` is the id of its PyInterpreterState, 0 the main one.

    `places` are its frames, innermost first; `error` says why they end early. `kernel` is None where the kernel has
    no such thread any more, or where it could not be told which one it is.
    """

    tstate: int
    ident: int
    interpreter: int
    tid: int | None = None
    kernel: KernelThread | None = None
    places: list[Place] = field(default_factory=list)
    error: str | None = None


def read_threads(interp: Interpreter, kernel: Sequence[KernelThread]) -> list[PythonThread]:
    """All threads of all interpreters, those of the main one first, the oldest first. Raises ReadError."""
    found: list[PythonThread] = []
    for number, state in enumerate(reversed(interp.interpreters())):
        identity = (
            interp.number(state, "PyInterpreterState", "id") if interp.has("PyInterpreterState", "id") else number
        )
        threads = [_read_thread(interp, tstate, identity, kernel) for tstate in interp.thread_states(state)]
        found += reversed(threads)
    return found


def _read_thread(interp: Interpreter, tstate: int, identity: int, kernel: Sequence[KernelThread]) -> PythonThread:
    thread = PythonThread(tstate, interp.number(tstate, "PyThreadState", "thread_id"), identity)
    if interp.has("PyThreadState", "native_thread_id"):
        thread.tid = interp.number(tstate, "PyThreadState", "native_thread_id") or None
    thread.kernel = find_kernel_thread(thread, kernel)
    if thread.kernel is not None:
        thread.tid = thread.kernel.tid
    try:
        thread.places.extend(read_places(interp, tstate))
    except ReadError as error:
        thread.error = str(error)
    return thread


def find_kernel_thread(thread: PythonThread, kernel: Sequence[KernelThread]) -> KernelThread | None:
    """By `pthread_self()`, which the kernel's thread has in a register; else by the tid that CPython noted."""
    for one in kernel:
        if one.ident == thread.ident:
            return one
    return next((one for one in kernel if one.ident is None and one.tid == thread.tid), None)
