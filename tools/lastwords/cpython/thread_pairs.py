"""Which of the kernel's threads runs a PyThreadState.

Told by `pthread_self()`, which a stopped thread has in a register; by the kernel's id that CPython noted (from 3.11
on); else by the C library's own struct of the thread (pthread.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lastwords.capture import procfs
from lastwords.capture.captured import KernelThread
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.pthread import find_tids

ENDED = "ZX"


class ThreadPairs:
    """The kernel's threads by the idents of `states` (PyThreadStates by ident)."""

    def __init__(self, interp: Interpreter, kernel: Sequence[KernelThread], states: Mapping[int, int]) -> None:
        self._found = {one.ident: one for one in kernel if one.ident and one.ident in states}
        self._noted: dict[int, int] = {}  # tid by ident, 0 for a thread that has ended
        self._by_tid = _inner_tids(interp.pid, kernel)
        self._native_ids = {one.tid: tid for tid, one in self._by_tid.items()}
        self._is_complete = bool(kernel) and all(one.ident for one in kernel)
        if interp.has("PyThreadState", "native_thread_id"):
            self._noted = {
                ident: interp.number(state, "PyThreadState", "native_thread_id") for ident, state in states.items()
            }
        elif kernel and len(self._found) < len(states):
            self._noted = self._learn(interp, states)
        for ident, tid in self._noted.items():
            one = self._by_tid.get(tid)
            if ident not in self._found and one is not None and one.ident is None:
                self._found[ident] = one

    def _learn(self, interp: Interpreter, states: Mapping[int, int]) -> dict[int, int]:
        native = self._native_ids
        known = {ident: native[one.tid] for ident, one in self._found.items() if one.tid in native}
        return find_tids(interp.memory, states.keys() - known.keys(), self._by_tid, known)

    def find(self, ident: int) -> KernelThread | None:
        """The kernel's thread with that ident; None where it has ended, or where it is not certain which one it is."""
        return self._found.get(ident)

    def native_id(self, one: KernelThread) -> int | None:
        """What `threading.get_native_id()` is there: its id in its own pid namespace. None where it has just ended."""
        return self._native_ids.get(one.tid)

    def is_alive(self, ident: int) -> bool | None:
        """Whether the kernel still has that thread; None where that is not certain."""
        one = self._found.get(ident)
        if one is not None:
            return (one.state or "?") not in ENDED
        has_ended = self._is_complete or (bool(self._by_tid) and ident in self._noted)
        return False if has_ended else None


def _inner_tids(pid: int | None, kernel: Sequence[KernelThread]) -> dict[int, KernelThread]:
    """The threads by the ids that they have inside their own pid namespace: those that CPython and libc note."""
    try:
        if pid is None or len(procfs.read_status(pid).ns_pids) < 2:
            return {one.inner_tid or one.tid: one for one in kernel}
    except (OSError, procfs.ProcessGoneError):
        return {}
    tasks = procfs.PROC / str(pid) / "task"
    return {tid: one for one in kernel if (tid := _inner_tid(one.tid, tasks))}


def _inner_tid(tid: int, tasks: Path) -> int | None:
    """None for a thread that has ended meanwhile."""
    try:
        return procfs.read_status(tid, tasks).ns_pids[-1]
    except (OSError, procfs.ProcessGoneError):
        return None
