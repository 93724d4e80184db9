"""The entities of one moment: each thread and each lock gets one id, whoever speaks of it."""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.cpython import Interpreter
from lastwords.cpython.locks import LockState
from lastwords.cpython.threads import PythonThread
from lastwords.model import Certainty, Edge, Moment, Object, Report

OWNER_IN_LOCK = "the lock itself names its owner's ident"


class Entities:
    """Adds threads' locks and relations to a report, each once."""

    def __init__(self, report: Report, moment: Moment, interp: Interpreter, threads: Sequence[PythonThread]) -> None:
        self.report = report
        self.moment = moment
        self.interp = interp
        self._by_ident = {thread.ident: self.thread_id(thread.tid, thread.ident) for thread in threads}
        self._objects: dict[int, Object] = {}

    def thread_id(self, tid: int | None, ident: int | None) -> str:
        """The id of a thread, by what the kernel calls it, or, where that is not known, the interpreter."""
        name = str(tid) if tid is not None else f"ident-{ident or 0:x}"
        return f"{self.moment.id}-thread-{name}"

    def find_thread(self, ident: int | None) -> str | None:
        """The id of the thread with that ident, if it exists."""
        return self._by_ident.get(ident) if ident else None

    def add_lock(self, lock: LockState, name: str | None = None) -> str:
        """The id of a lock, which is in the report from now on."""
        known = self._objects.get(lock.address)
        if known is None:
            known = Object(
                id=f"{self.moment.id}-object-{lock.address:x}",
                moment=self.moment.id,
                kind=lock.kind,
                type=lock.type,
                address=lock.address,
                locked=lock.locked,
                owner=self.find_thread(lock.owner_ident),
                owner_ident=lock.owner_ident,
                count=lock.count,
            )
            self._objects[lock.address] = known
            self.report.objects.append(known)
        known.name = known.name or name
        return known.id

    def add_edge(self, origin: str, to: str, kind: str, certainty: Certainty, evidence: str | None) -> None:
        """One relation; the same one is told once, by its best evidence, which comes first."""
        if not any((edge.origin, edge.to, edge.kind) == (origin, to, kind) for edge in self.report.edges):
            self.report.edges.append(
                Edge(origin=origin, to=to, kind=kind, certainty=certainty, evidence=evidence)  # type: ignore[arg-type]
            )
