"""The interpreter's threads (PyThreadState), each with its frames and with the kernel's thread that runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import Place, read_places
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.main_thread import read_main_ident
from lastwords.cpython.thread_end import Ends
from lastwords.cpython.thread_objects import ThreadObjects
from lastwords.cpython.thread_pairs import ThreadPairs


class PythonThread(msgspec.Struct):
    """A PyThreadState. `interpreter` is the id of its PyInterpreterState, 0 the main one.

    ident: what `threading.get_ident()` is there; 0 for a thread that has been made but has not begun
    tid, kernel: None where the kernel has no such thread any more, or where it could not be told which one it is
    native_id: its tid as it is called inside its own pid namespace
    places: its frames, innermost first; `error` says why they end early
    is_main: whether it is the thread that the interpreter calls its main one
    name, daemon, thread_object: what its `threading.Thread` says, and where that is; None for a thread without one
    alive: whether the kernel has it; None for one that has not begun, and where that is not certain
    finishing: whether it has left its Python function: see thread_end.py
    """

    tstate: int
    ident: int
    interpreter: int
    tid: int | None = None
    native_id: int | None = None
    kernel: KernelThread | None = None
    places: list[Place] = []
    error: str | None = None
    is_main: bool | None = None
    name: str | None = None
    daemon: bool | None = None
    thread_object: int | None = None
    alive: bool | None = None
    finishing: bool | None = None


def read_threads(interp: Interpreter, kernel: Sequence[KernelThread]) -> list[PythonThread]:
    """All threads of all interpreters, those of the main one first, the oldest first. Raises ReadError."""
    found: list[PythonThread] = []
    for state, threads in _walk(interp):
        _pair(interp, threads, kernel)
        _find_main(interp, threads)
        _name(interp, state, threads)
        found += threads
    return found


def _walk(interp: Interpreter) -> Iterator[tuple[int, list[PythonThread]]]:
    """Each PyInterpreterState with its threads."""
    for number, state in enumerate(reversed(interp.interpreters())):
        has_id = interp.has("PyInterpreterState", "id")
        identity = interp.number(state, "PyInterpreterState", "id") if has_id else number
        threads = [_read_thread(interp, tstate, identity) for tstate in interp.thread_states(state)][::-1]
        _unname_new(threads)
        yield state, threads


def _read_thread(interp: Interpreter, tstate: int, identity: int) -> PythonThread:
    thread = PythonThread(tstate, interp.number(tstate, "PyThreadState", "thread_id"), identity)
    try:
        thread.places.extend(read_places(interp, tstate))
    except ReadError as error:
        thread.error = str(error)
    return thread


def _unname_new(threads: list[PythonThread]) -> None:
    """To 3.11 a new PyThreadState has its maker's ident until its own thread runs. Its maker is older or has frames."""
    owners: dict[int, PythonThread] = {}
    for thread in sorted(threads, key=lambda one: not one.places):
        if owners.setdefault(thread.ident, thread) is not thread and not thread.places:
            thread.ident = 0


def _pair(interp: Interpreter, threads: list[PythonThread], kernel: Sequence[KernelThread]) -> None:
    pairs = ThreadPairs(interp, kernel, {thread.ident: thread.tstate for thread in threads if thread.ident})
    for thread in threads:
        if thread.ident:
            thread.kernel = pairs.find(thread.ident)
            thread.tid = thread.kernel.tid if thread.kernel else None
            thread.native_id = pairs.native_id(thread.kernel) if thread.kernel else None
            thread.alive = pairs.is_alive(thread.ident)


def _find_main(interp: Interpreter, threads: list[PythonThread]) -> None:
    """By what the interpreter noted; before 3.7 by the kernel's rule that the main thread's tid is the pid."""
    main = read_main_ident(interp)
    if main is None:
        main = next((one.ident for one in threads if one.tid is not None and one.tid == interp.main_tid), None)
    for thread in threads:
        thread.is_main = thread.ident == main if main is not None else None


def _name(interp: Interpreter, state: int, threads: list[PythonThread]) -> None:
    objects = ThreadObjects(interp, state)
    ends = Ends(interp, state)
    for thread in threads:
        found = objects.find(thread.ident, thread.native_id, thread.is_main) if thread.ident else None
        if found is not None:
            thread.name, thread.daemon, thread.thread_object = found.name, found.daemon, found.address
        thread.finishing = ends.is_finishing(thread)
