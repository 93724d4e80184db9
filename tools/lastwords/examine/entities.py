"""The entities of one moment: each thread and each lock gets one id, whoever speaks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lastwords.capture.memory import ReadError
from lastwords.cpython.locks import LockState
from lastwords.cpython.threads import PythonThread
from lastwords.model import Edge, Moment, Object, Report, Thread


@contextmanager
def tolerated(moment: Moment, what: str) -> Iterator[None]:
    """A part of the moment that cannot be read is one of its problems."""
    try:
        yield
    except ReadError as error:
        moment.capture.problems.append(f"{what}: {error}")
        moment.capture.complete = False


class Entities:
    """Adds the locks and relations of one moment's threads to a report, each once."""

    def __init__(self, report: Report, moment: Moment, threads: Sequence[PythonThread]) -> None:
        self.report = report
        self.moment = moment
        self._by_ident: dict[int, str] = {}
        self._by_state: dict[int, str] = {}
        self._thread_ids: set[str] = set()
        for thread in threads:
            self._add_thread(thread)
        self._objects: dict[int, Object] = {}
        self._edges: set[tuple[str, str, str]] = set()

    def threads(self) -> list[Thread]:
        """The moment's threads that are in the report."""
        return [thread for thread in self.report.threads if thread.moment == self.moment.id]

    def thread_id(self, tid: int | None, ident: int | None) -> str:
        """The id of a thread, by what the kernel calls it, or, where that is not known, the interpreter."""
        name = str(tid) if tid is not None else f"ident-{ident or 0:x}"
        return f"{self.moment.id}-thread-{name}"

    def _add_thread(self, thread: PythonThread) -> None:
        """One thread may run in several interpreters; the kernel's id alone is that of the first, the main one."""
        name = self.thread_id(thread.tid, thread.ident)
        if name in self._thread_ids:
            name += f"-interpreter-{thread.interpreter}-{thread.tstate:x}"
        self._thread_ids.add(name)
        self._by_state[thread.tstate] = name
        self._by_ident.setdefault(thread.ident, name)

    def state_id(self, thread: PythonThread) -> str:
        """The id of a thread in its interpreter."""
        return self._by_state[thread.tstate]

    def find_thread(self, ident: int | None) -> str | None:
        """The id of the thread with that ident, if it exists."""
        return self._by_ident.get(ident) if ident else None

    def add_lock(self, lock: LockState, find_name: Callable[[], str | None]) -> str:
        """The id of a lock, which is in the report from now on; `find_name` tells what the program calls it."""
        if lock.address not in self._objects:
            self._objects[lock.address] = Object(
                id=f"{self.moment.id}-object-{lock.address:x}",
                moment=self.moment.id,
                kind=lock.kind,
                type=lock.type,
                name=find_name(),
                address=lock.address,
                locked=lock.locked,
                owner=self.find_thread(lock.owner_ident),
                owner_ident=lock.owner_ident,
                count=lock.count,
                limit=lock.limit,
                unfinished=lock.unfinished,
            )
            self.report.objects.append(self._objects[lock.address])
        return self._objects[lock.address].id

    def find_object(self, address: int) -> str | None:
        """The id of what is at this address, if it is in the report."""
        found = self._objects.get(address)
        return found.id if found else None

    def add_edge(self, edge: Edge) -> None:
        """One relation; what is told again is told once."""
        key = (edge.origin, edge.to, edge.kind)
        if key not in self._edges:
            self._edges.add(key)
            self.report.edges.append(edge)
