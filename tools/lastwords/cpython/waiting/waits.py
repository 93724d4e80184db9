"""What each thread waits for: the GIL, a lock, another thread's end, an event, a queue, an import, or the kernel.

The kernel says on which word a thread sleeps (futex(2)); the interpreter's structs and the thread's own frames say
what the word belongs to. "certain" is only what rests on that address and on the type of the object that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import msgspec
from msgspec.structs import replace

from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.futex import Futex, read_futex
from lastwords.capture.kernel.kernel_wait import KernelWait
from lastwords.capture.kernel.serving import is_serving
from lastwords.capture.kernel.syscall_waits import describe_syscall_wait
from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import Place
from lastwords.cpython.gil import Gil, read_gil
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import read_lock
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.waiting import import_lock
from lastwords.cpython.waiting.candidates import find_lock_of_word
from lastwords.cpython.waiting.parking import find_mapping, find_parked, find_parked_lock, find_parked_thread
from lastwords.cpython.waiting.wait_levels import Level, find_polling, read_levels
from lastwords.cpython.waiting.wait_targets import find_child, read_deadline, read_threads_by_word
from lastwords.cpython.waiting.wait_texts import format_level
from lastwords.cpython.waiting.waiting_functions import Waiting, read_waiting_functions
from lastwords.model import Certainty

Kind = Literal["lock", "join", "event", "queue", "condition", "io", "process", "sleep", "gil", "import_lock", "unknown"]
KINDS: dict[str, Kind] = {
    "lock": "lock",
    "rlock": "lock",
    "semaphore": "lock",
    "process_lock": "lock",
    "process_semaphore": "lock",
    "process_condition": "condition",
    "process_event": "event",
    "process_barrier": "condition",
    "process_queue": "queue",
    "condition": "condition",
    "barrier": "condition",
    "future": "condition",
    "event": "event",
    "queue": "queue",
    "simple_queue": "queue",
    "thread": "join",
    "thread_handle": "join",
    "module_lock": "import_lock",
}


class Wait(msgspec.Struct, frozen=True):
    """What one thread waits for.

    tid, ident: the thread, by the kernel's id and by the interpreter's (None for one that runs no Python)
    object: the address of the lock, event, queue, Thread ... (see LockState)
    chain: the addresses of the locks below, from the one on which the thread sleeps up to `object`
    target: the ident of the thread that is waited for (join, gil, import_lock) or the pid of the process (process,
            io: the only one at the other end)
    call: the system call; until: seconds of the epoch, None: for ever, or not known
    has_timeout: whether it ends by itself; serves: see kernel/serving.py
    function: the method of `object` that waits, where the frames tell
    woken: whether it is over, and the thread about to go on
    pids: of io, all processes that have other ends of what is waited for; None where that is not known
    """

    tid: int | None
    ident: int | None
    kind: Kind
    object: int | None = None
    chain: tuple[int, ...] = ()
    target: int | None = None
    detail: str | None = None
    certainty: Certainty = "certain"
    call: str | None = None
    until: float | None = None
    has_timeout: bool = False
    serves: bool | None = None
    function: str | None = None
    pids: tuple[int, ...] | None = None
    woken: bool = False


class Sleeper(msgspec.Struct, frozen=True):
    """A thread in a system call; `places` are its frames, none of a thread that runs no Python."""

    kernel: KernelThread
    ident: int | None
    places: Sequence[Place]


def read_waits(
    interp: Interpreter, threads: Sequence[PythonThread], captured: Captured, facts: Facts | None = None
) -> list[Wait]:
    """The waits of all threads of the capture, of those with Python frames first. Who runs is not in the list.

    Raises ReadError where the interpreter itself cannot be read.
    """
    reader = _Reader(interp, threads, captured, facts)
    sleepers = [Sleeper(one.kernel, one.ident, one.places) for one in threads if one.kernel is not None]
    known = {one.kernel.tid for one in sleepers}
    sleepers += [Sleeper(one, None, ()) for one in captured.threads if one.tid not in known]
    found: dict[int, Wait] = {}
    for sleeper in sleepers:
        wait = reader.read(sleeper)
        tid = sleeper.kernel.tid
        if wait is not None and (tid not in found or len(wait.chain) > len(found[tid].chain)):
            found[tid] = wait  # a thread has frames in several interpreters: those count that show most
    return list(found.values())


class _Reader:
    """Reads the wait of one thread after the other; what is the same for all of a moment, it reads once."""

    def __init__(
        self, interp: Interpreter, threads: Sequence[PythonThread], captured: Captured, facts: Facts | None
    ) -> None:
        self.interp = interp
        self.idents = {thread.tstate: thread.ident for thread in threads}
        self.captured = captured
        self.facts = facts
        self.gils: list[Gil] = read_gil(interp)

    @cached_property
    def functions(self) -> dict[int, Waiting]:
        return read_waiting_functions(self.interp)

    @cached_property
    def joined(self) -> dict[int, int]:
        return read_threads_by_word(self.interp)

    def read(self, sleeper: Sleeper) -> Wait | None:
        """What the thread waits for; None where it runs."""
        futex = read_futex(sleeper.kernel, self.captured)
        wait = self._read_futex(sleeper, futex) if futex is not None else None
        if wait is None:
            wait = self._read_syscall(sleeper)
        if wait is not None and not sleeper.kernel.stood_still and wait.certainty == "certain":
            return replace(wait, certainty="likely")
        return wait

    def _start(self, sleeper: Sleeper, kind: Kind) -> Wait:
        call = sleeper.kernel.syscall.name if sleeper.kernel.syscall is not None else None
        return Wait(sleeper.kernel.tid, sleeper.ident, kind, call=call)

    def _read_futex(self, sleeper: Sleeper, futex: Futex) -> Wait | None:
        """None where a restarted call is none on a word that anybody knows."""
        for gil in self.gils:
            if gil.has_word(futex.word):
                holder = self.idents.get(gil.holder or 0)
                return replace(self._start(sleeper, "gil"), target=holder, detail="the GIL")
        try:
            parked = find_parked(self.interp, sleeper.kernel, futex.word, self.captured.maps)
        except ReadError:
            parked = None
        levels = self._read_levels(sleeper, parked or futex.word, parked is not None)
        if levels:
            return _limit(self._tell(self._start(sleeper, "lock"), levels), futex)
        found = self._find_import(sleeper, futex.word) or self._find_handle(sleeper, parked)
        if found is not None or futex.is_restarted:
            return found
        unknown = replace(self._start(sleeper, "unknown"), detail=self._format_word(futex.word, parked))
        return _limit(unknown, futex)

    def _read_levels(self, sleeper: Sleeper, word: int, is_parked: bool) -> list[Level]:
        """From the lock on which the thread sleeps up to what it waits for; empty where nothing has this word."""
        lock = find_parked_lock(self.interp, word) if is_parked else None
        lock = lock or find_lock_of_word(self.interp, sleeper.places, word)
        levels: list[Level] = []
        if lock is not None:
            lowest = Level(lock.kind, lock.address)
            levels = read_levels(self.interp, self.functions, sleeper.places, lowest)
        if (not levels or levels[-1].kind in ("lock", "thread_handle")) and word in self.joined:
            levels.append(Level("thread", self.joined[word]))
        return levels

    def _tell(self, wait: Wait, levels: Sequence[Level]) -> Wait:
        top = levels[-1]
        kind = KINDS[top.kind]
        return replace(
            wait,
            kind=kind,
            object=top.address,
            chain=tuple(level.address for level in levels),
            target=self._find_owner(top) if kind in ("join", "import_lock") else None,
            detail=format_level(self.interp, top),
            function=top.function,
        )

    def _find_owner(self, level: Level) -> int | None:
        try:
            state = read_lock(self.interp, level.address)
        except ReadError:
            return None
        return state.owner_ident if state is not None else None

    def _find_import(self, sleeper: Sleeper, word: int) -> Wait | None:
        """The global import lock: certain by its own word, likely where only an `import` statement hints at it."""
        try:
            lock = import_lock.read_import_lock(self.interp)
            is_for_all = import_lock.is_for_all(self.interp)
        except ReadError:
            return None
        name = import_lock.find_import(self.interp, sleeper.places)
        detail = "the import lock" + (f", to import {name}" if name else "")
        if lock is not None and lock.word == word:
            return replace(self._start(sleeper, "import_lock"), target=lock.owner, detail=detail)
        if lock is None and is_for_all and name:
            return replace(self._start(sleeper, "import_lock"), detail=detail, certainty="likely")
        return None

    def _find_handle(self, sleeper: Sleeper, parked: int | None) -> Wait | None:
        ident = find_parked_thread(self.interp, parked) if parked else None
        if ident is None:
            return None
        return replace(self._start(sleeper, "join"), target=ident, detail="the end of a thread", certainty="likely")

    def _format_word(self, word: int, parked: int | None) -> str:
        if parked:
            return f"parked under {parked:#x}{self._format_place(parked)}"
        return f"a futex at {word:#x}{self._format_place(word)}"

    def _format_place(self, address: int) -> str:
        place = find_mapping(self.captured.maps, address)
        return f" in {place.path.rpartition('/')[2]}" if place is not None and place.path else ""

    def _read_syscall(self, sleeper: Sleeper) -> Wait | None:
        kernel = describe_syscall_wait(sleeper.kernel, self.captured.memory, self.facts)
        if kernel is None:
            return None
        found = self._find_polling(sleeper) if kernel.kind == "sleep" else None
        if found is None and kernel.kind in ("sleep", "io"):
            found = self._find_child(sleeper, kernel)
        if found is not None:
            return found
        return replace(
            self._start(sleeper, "unknown" if kernel.kind == "futex" else kernel.kind),
            target=kernel.pid if kernel.kind in ("process", "io") else None,
            detail=kernel.detail,
            until=kernel.until,
            has_timeout=kernel.has_timeout,
            serves=is_serving(kernel, self.facts) if self.facts is not None else None,
            pids=kernel.pids if kernel.kind == "io" else None,
        )

    def _find_polling(self, sleeper: Sleeper) -> Wait | None:
        try:
            lowest = find_polling(self.interp, self.functions, sleeper.places)
            until = read_deadline(self.interp, sleeper.places[0]) if lowest is not None else None
        except ReadError:
            return None
        if lowest is None:
            return None
        levels = read_levels(self.interp, self.functions, sleeper.places, lowest)
        return replace(self._tell(self._start(sleeper, "condition"), levels), until=until, has_timeout=True)

    def _find_child(self, sleeper: Sleeper, kernel: KernelWait) -> Wait | None:
        """A Popen that sleeps, or waits for a pidfd or sentinel, to wait for its process."""
        found = find_child(self.interp, self.functions, sleeper.places)
        if found is None:
            return None
        pid, until = found
        ours = self.facts.outer_pid(pid) if self.facts is not None else pid
        name = f"process {ours}" if ours else f"process {pid} of its own pid namespace"
        detail = f"waits for the end of {name}: {kernel.detail}"
        return replace(
            self._start(sleeper, "process"), target=ours, detail=detail, until=until, has_timeout=until is not None
        )


def _limit(wait: Wait, futex: Futex) -> Wait:
    """With when it ends, or how long it lasts; and whether it is over."""
    wait = replace(wait, woken=futex.is_woken)
    if futex.seconds is None:
        return replace(wait, until=futex.until, has_timeout=futex.until is not None)
    return replace(wait, detail=f"{wait.detail}, for {futex.seconds:.4g} s at most", has_timeout=True)
