"""What /proc said of a process, kept: it is asked once, while the process lives, and answered from a snapshot later."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import msgspec

from lastwords.capture.kernel.descriptors import DescriptorFacts
from lastwords.capture.kernel.facts import Child, Facts
from lastwords.capture.kernel.file_locks import FileLock
from lastwords.capture.kernel.other_ends import OtherEnd

ENDS_LIMIT = 1_024  # descriptors of which the other end is looked for before anybody asks
NOWHERE = Path("/nonexistent")  # what was not asked then is not asked of the machine that reads a snapshot


class Answers(msgspec.Struct):
    """By question (a method of Facts) and its argument; file locks by descriptor and kind."""

    all_descriptors: dict[int, str] = {}
    descriptors: dict[int, DescriptorFacts | None] = {}
    other_ends: dict[int, OtherEnd | None] = {}
    processes: dict[int, str] = {}
    there: dict[int, bool] = {}
    groups: dict[int, int | None] = {}
    outer_pids: dict[int, int | None] = {}
    children: list[Child] = []
    lock_blockers: dict[int, dict[str, list[FileLock]]] = {}
    sharers: dict[int, list[int]] = {}
    accepted: dict[int, bool] = {}
    ancestors: list[int] = []
    clocks: dict[int, float | None] = {}


class RecordingFacts(Facts):
    """Keeps every answer of `facts` in `answers`."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts.pid, facts.proc)
        self._facts = facts
        self.answers = Answers()

    def ask_all(self) -> None:
        """Whatever a later reader may want to know of descriptors and children."""
        for fd in list(self.all_descriptors())[:ENDS_LIMIT]:
            self.descriptor(fd)
            self.other_end(fd)
            self.was_accepted(fd)
        self.group_of(self.pid)
        for pid in self.ancestors[:1]:
            self.describe_process(pid)
        for one in self.children:
            self.describe_process(one.pid)

    def descriptor(self, fd: int) -> DescriptorFacts | None:  # noqa: D102 - as in Facts, all of these
        return self.answers.descriptors.setdefault(fd, self._facts.descriptor(fd))

    def all_descriptors(self) -> dict[int, str]:  # noqa: D102
        self.answers.all_descriptors = self._facts.all_descriptors()
        return self.answers.all_descriptors

    def other_end(self, fd: int) -> OtherEnd | None:  # noqa: D102
        return self.answers.other_ends.setdefault(fd, self._facts.other_end(fd))

    def was_accepted(self, fd: int) -> bool:  # noqa: D102
        return self.answers.accepted.setdefault(fd, self._facts.was_accepted(fd))

    def describe_process(self, pid: int) -> str:  # noqa: D102
        return self.answers.processes.setdefault(pid, self._facts.describe_process(pid))

    def is_there(self, pid: int) -> bool:  # noqa: D102
        return self.answers.there.setdefault(pid, self._facts.is_there(pid))

    def clock_start(self, clock: int) -> float | None:  # noqa: D102
        return self.answers.clocks.setdefault(clock, self._facts.clock_start(clock))

    def group_of(self, pid: int) -> int | None:  # noqa: D102
        return self.answers.groups.setdefault(pid, self._facts.group_of(pid))

    def outer_pid(self, pid: int) -> int | None:  # noqa: D102
        return self.answers.outer_pids.setdefault(pid, self._facts.outer_pid(pid))

    @cached_property
    def children(self) -> list[Child]:  # noqa: D102
        self.answers.children = self._facts.children
        return self.answers.children

    @cached_property
    def ancestors(self) -> list[int]:  # noqa: D102
        self.answers.ancestors = self._facts.ancestors
        return self.answers.ancestors

    def lock_blockers(self, fd: int, kind: str) -> list[FileLock]:  # noqa: D102
        found = self._facts.lock_blockers(fd, kind)
        return self.answers.lock_blockers.setdefault(fd, {}).setdefault(kind, found)

    def sharers(self, fd: int) -> list[int]:  # noqa: D102
        return self.answers.sharers.setdefault(fd, self._facts.sharers(fd))


class RecordedFacts(Facts):
    """Facts out of `answers`. What nobody asked is not there."""

    def __init__(self, pid: int, answers: Answers) -> None:
        super().__init__(pid, NOWHERE)
        self.answers = answers

    def descriptor(self, fd: int) -> DescriptorFacts | None:  # noqa: D102 - as in Facts, all of these
        return self.answers.descriptors.get(fd)

    def all_descriptors(self) -> dict[int, str]:  # noqa: D102
        return self.answers.all_descriptors

    def other_end(self, fd: int) -> OtherEnd | None:  # noqa: D102
        return self.answers.other_ends.get(fd)

    def was_accepted(self, fd: int) -> bool:  # noqa: D102
        return self.answers.accepted.get(fd, False)

    def describe_process(self, pid: int) -> str:  # noqa: D102
        return self.answers.processes.get(pid, f"process {pid}")

    def is_there(self, pid: int) -> bool:  # noqa: D102
        return self.answers.there.get(pid, False)

    def clock_start(self, clock: int) -> float | None:  # noqa: D102
        return self.answers.clocks.get(clock)

    def group_of(self, pid: int) -> int | None:  # noqa: D102
        return self.answers.groups.get(pid)

    def outer_pid(self, pid: int) -> int | None:  # noqa: D102
        return self.answers.outer_pids.get(pid)

    @cached_property
    def shares_clocks(self) -> bool:  # noqa: D102
        return False

    @cached_property
    def children(self) -> list[Child]:  # noqa: D102
        return self.answers.children

    @cached_property
    def ancestors(self) -> list[int]:  # noqa: D102
        return self.answers.ancestors

    def lock_blockers(self, fd: int, kind: str) -> list[FileLock]:  # noqa: D102
        return self.answers.lock_blockers.get(fd, {}).get(kind, [])

    def sharers(self, fd: int) -> list[int]:  # noqa: D102
        return self.answers.sharers.get(fd, [])
