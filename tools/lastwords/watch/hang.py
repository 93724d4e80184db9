"""When a program hangs: its time is over, or a process of it gets nowhere on its way out.

The second is told by looking from outside, while the program runs: how far each interpreter is (cpython/finalize.py),
and who is there still of those that were there when it began to leave. Nothing is stopped, and nothing written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from lastwords.capture import procfs
from lastwords.capture.kernel.family import Member, list_family
from lastwords.cpython import Interpreter, ReadError, open_process, read_phase
from lastwords.cpython.finalize import read_step
from lastwords.errors import LastwordsError, SetupError
from lastwords.watch.options import Hang, Limits
from lastwords.watch.processes import is_python_program

if TYPE_CHECKING:
    from lastwords.capture.launch import Child

LOOKS = 5  # at least so many in `hang_after` seconds
LOOK_SECONDS = (0.1, 1.0)  # between two of them: at least, at most
TICK_SECONDS = 0.1
STEPS = {"threading._shutdown": 1, "atexit": 2}
FINALIZING = 3
Key = tuple[int, int]  # pid, and when it was started


class _Leaving(msgspec.Struct):
    """A process on its way out, since it last got on: how far it is, and who was there at the beginning and is still.

    That these are always fewer bounds how often it can get on, whatever threads and children come meanwhile.
    """

    since: float
    step: int
    left: set[int]

    def go_on(self, step: int, there: set[int], now: float) -> None:
        """What one more look has shown."""
        if step > self.step or not self.left <= there:
            self.since, self.step, self.left = now, max(step, self.step), self.left & there


class HangWatch:
    """Asked again and again, it tells each hang of the program `root` and of what is below it once."""

    def __init__(self, root: int, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self._refused: dict[Key, list[str]] = {}
        self._began = time.monotonic()
        self._is_late = False
        self._next_look = 0.0
        self._readers: dict[Key, Interpreter] = {}
        self._leaving: dict[Key, _Leaving] = {}
        self._told: set[Key] = set()

    def start(self) -> None:
        """The program begins now."""
        self._began = time.monotonic()

    def wait(self, child: Child) -> Hang | None:
        """Until it hangs, or has ended: for a program that nobody else listens to."""
        if self.limits == Limits():
            child.wait()
        while child.poll() is None:
            hang = self.look()
            if hang is not None:
                return hang
            time.sleep(TICK_SECONDS)
        return None

    def leave_out(self, seconds: float) -> None:
        """So long the program was held, or somebody looked at it: that time does not count."""
        self._began += seconds
        for one in self._leaving.values():
            one.since += seconds

    def look(self) -> Hang | None:
        """The hang that has just become one."""
        now = time.monotonic()
        timeout, hang_after = self.limits.timeout, self.limits.hang_after
        if timeout is not None and not self._is_late and now - self._began >= timeout:
            self._is_late = True
            return Hang("timeout", self.root, timeout)
        if hang_after is None or now < self._next_look:
            return None
        shortest, longest = LOOK_SECONDS
        self._next_look = now + min(max(hang_after / LOOKS, shortest), longest)
        return next(self._find_stuck(hang_after), None)

    def _find_stuck(self, hang_after: float) -> Iterator[Hang]:
        family = list_family(self.root)
        keys = {(one.pid, one.started) for one in family}
        self._readers = {key: reader for key, reader in self._readers.items() if key in keys}
        self._leaving = {key: one for key, one in self._leaving.items() if key in keys}
        for member in family:
            key = (member.pid, member.started)
            leaving = self._look_at(member, family)
            if leaving is not None and key not in self._told and time.monotonic() - leaving.since >= hang_after:
                self._told.add(key)
                yield Hang("exit", member.pid, hang_after)

    def _look_at(self, member: Member, family: list[Member]) -> _Leaving | None:
        """How it is on its way out; None where it is not, is no Python, or cannot be told."""
        key = (member.pid, member.started)
        step = self._read_step(member)
        if not step:
            self._leaving.pop(key, None)
            return None
        there = {one.pid for one in family if one.ppid == member.pid and one.state not in "ZX"}
        there.update(_read_threads(member.pid))
        now = time.monotonic()
        leaving = self._leaving.setdefault(key, _Leaving(now, step, there))
        leaving.go_on(step, there, now)
        return leaving

    def _read_step(self, member: Member) -> int:
        """How far it is on its way out, 0 where it is not, or not to be told."""
        key = (member.pid, member.started)
        if member.state in "ZX" or not is_python_program(member.pid):
            return 0
        try:
            reader = self._readers.get(key) or open_process(member.pid)
            reader.refresh()
            step = _read_step(reader)
            self._readers[key] = reader
        except SetupError as error:
            self._refused.setdefault(key, []).append(error.fact.rstrip("."))
        except (
            LastwordsError,
            ReadError,
            procfs.ProcessGoneError,
            OSError,
        ):  # it starts, ends, or runs another program
            self._readers.pop(key, None)
        else:
            self._refused.pop(key, None)
            return step
        return 0

    def problems(self) -> Iterator[str]:
        """Of which processes it could not be told, again and again: one that starts or ends is no problem."""
        for (pid, _), facts in self._refused.items():
            if len(facts) >= LOOKS:
                yield f"whether process {pid} hangs at its exit could not be looked for: {facts[-1]}"


def _read_step(interp: Interpreter) -> int:
    """Raises ReadError."""
    phase = read_phase(interp)
    if phase == "finalizing":
        return FINALIZING
    return STEPS.get(read_step(interp) or "", 1) if phase == "shutdown" else 0


def _read_threads(pid: int) -> list[int]:
    try:
        return procfs.read_tasks(pid)
    except (OSError, procfs.ProcessGoneError):
        return []
