"""The global interpreter lock: who has it, who wants it (Python/ceval_gil.h, Include/internal/pycore_gil.h).

From 3.12 on each interpreter points at its own or at a shared one; from 3.7 it is a part of `_PyRuntime`. Before, it
is a few static variables (3.6), or a plain lock (2.7), and the exported `_PyThreadState_Current` tells the holder.

A thread that wants it sleeps on a futex word inside: in its condition variable or its mutex; with musl, on one of its
own stack, which the condition variable lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from lastwords.capture import elf
from lastwords.capture.kernel.futex import find_word
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.musl import find_barriers
from lastwords.cpython.threads import PythonThread

PTHREAD = 48  # bytes of a pthread_cond_t; a pthread_mutex_t has 40
CONDITIONS = ("cond", "switch_cond")
STATIC = ("gil_mutex", "gil_cond", "switch_mutex", "switch_cond")  # 3.6

Words = tuple[int, int]


class Gil(msgspec.Struct, frozen=True):
    """One lock. `interpreters`: the ids of those who share it; `words`: where those who wait may sleep, [start, end).

    holder: the PyThreadState that has it, None where nobody has; waiters: those who want it
    switches: how often it has gone from one thread to another; None to 3.6, which do not keep that in a struct
    """

    interpreters: tuple[int, ...]
    words: tuple[Words, ...]
    holder: int | None
    waiters: tuple[PythonThread, ...] = ()
    switches: int | None = None

    def has_word(self, address: int) -> bool:
        """Whether a futex word is a part of this lock."""
        return any(start <= address < end for start, end in self.words)


def read_gil(interp: Interpreter, threads: Sequence[PythonThread] = ()) -> list[Gil]:
    """All global interpreter locks of the process, that of the main interpreter first. Raises ReadError.

    Who waits is told of those `threads` whose system call is known.
    """
    if not interp.has("_gil_runtime_state"):
        return [_read_static(interp, threads)]
    shared: dict[int, list[int]] = {}
    for identity, address in _find_structs(interp):
        shared.setdefault(address, []).append(identity)
    return [_read_struct(interp, address, tuple(who), threads) for address, who in shared.items()]


def is_gil_word(interp: Interpreter, address: int) -> bool:
    """Whether a thread that sleeps on the futex word at `address` waits for a global interpreter lock.

    Raises ReadError.
    """
    return any(gil.has_word(address) for gil in read_gil(interp))


def _find_structs(interp: Interpreter) -> Iterator[tuple[int, int]]:
    """(interpreter's id, address of its `_gil_runtime_state`), the main interpreter first."""
    runtime = interp.image.address("_PyRuntime") or 0
    for number, state in enumerate(reversed(interp.interpreters())):
        has_id = interp.has("PyInterpreterState", "id")
        identity = interp.number(state, "PyInterpreterState", "id") if has_id else number
        if interp.has("PyInterpreterState", "ceval.gil"):
            address = interp.number(state, "PyInterpreterState", "ceval.gil")
        else:
            address = interp.at(runtime, "_PyRuntimeState", "ceval.gil")
        if address:  # an interpreter that is being made has none yet
            yield identity, address


def _read_struct(interp: Interpreter, address: int, who: tuple[int, ...], threads: Sequence[PythonThread]) -> Gil:
    """`last_holder` stays set after a release: only while `locked` is 1 does it tell who has it (-1: not made yet)."""
    locked = interp.signed(address, "_gil_runtime_state", "locked") == 1
    holder = interp.number(address, "_gil_runtime_state", "last_holder") if locked else 0
    conditions = [interp.at(address, "_gil_runtime_state", name) for name in CONDITIONS]
    outside = [(word, word + 1) for one in conditions for word in find_barriers(interp, one)]
    words = ((address, address + interp.layout.size("_gil_runtime_state")), *outside)
    switches = interp.number(address, "_gil_runtime_state", "switch_number")
    return Gil(who, words, holder or None, _find_waiters(threads, words), switches)


def _read_static(interp: Interpreter, threads: Sequence[PythonThread]) -> Gil:
    current = interp.image.address("_PyThreadState_Current")
    holder = interp.pointer(current) if current is not None else 0
    words = tuple(_static_words(interp))
    everybody = tuple(dict.fromkeys(thread.interpreter for thread in threads)) or (0,)
    return Gil(everybody, words, holder or None, _find_waiters(threads, words))


def _static_words(interp: Interpreter) -> Iterator[Words]:
    variable = interp.image.address("interpreter_lock")
    if variable is None and (found := elf.decode_argument(interp.image.elf, "PyEval_ReleaseLock")) is not None:
        variable = found + interp.image.bias
    if variable is not None:
        lock = interp.pointer(variable)  # NULL as long as there was only one thread
        if lock:
            yield lock, lock + 1
        return
    known = [address for name in STATIC if (address := interp.image.address(name)) is not None]
    yield from ((address, address + PTHREAD) for address in known)
    if not known and ".bss" in interp.image.elf.sections:  # stripped: nothing else in there is slept on
        start, size = interp.image.elf.sections[".bss"]
        yield start + interp.image.bias, start + size + interp.image.bias


def _find_waiters(threads: Sequence[PythonThread], words: Sequence[Words]) -> tuple[PythonThread, ...]:
    return tuple(
        thread
        for thread in threads
        if (word := find_futex(thread)) is not None and any(start <= word < end for start, end in words)
    )


def find_futex(thread: PythonThread) -> int | None:
    """The futex word that the kernel says the thread sleeps on, or did just now; None where it is in no such call."""
    return find_word(thread.kernel) if thread.kernel is not None else None
