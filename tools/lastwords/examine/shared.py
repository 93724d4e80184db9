"""Locks that processes share: which memory such a lock is in, who else has that mapped, who of them holds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from lastwords.capture import procfs
from lastwords.capture.captured import Captured
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.peers import list_pids
from lastwords.cpython import Interpreter
from lastwords.cpython.locks import read_lock
from lastwords.cpython.waiting.parking import find_mapping
from lastwords.examine.entities import Entities, tolerated
from lastwords.model import Certainty, Edge, Object, Report

KINDS = "process_"  # on _multiprocessing.SemLock: its sem_t is in a file of /dev/shm, mapped by all who have the lock


def add_sharers(entities: Entities, interp: Interpreter, captured: Captured, facts: Facts | None) -> None:
    """What the objects of this moment share, and with whom; nothing is looked for where none is a process's lock."""
    moment = entities.moment
    for one in entities.report.objects:
        if one.moment == moment.id and one.kind.startswith(KINDS) and one.address is not None:
            with tolerated(moment, "who shares a lock of multiprocessing"):
                lock = read_lock(interp, one.address)
                word = lock.word if lock else None
                found = find_mapping(captured.maps, word) if word else None
                if found and word:
                    one.shared = f"{found.device:x}:{found.inode}+{found.offset + word - found.start:#x}"
                    one.sharers = list(_find_mappers(facts, found)) if facts is not None else None


def _find_mappers(facts: Facts, wanted: procfs.Mapping) -> Iterator[int]:
    """The other processes that have the same file mapped, as far as one may see."""
    line = re.compile(rb"^\S+ \S+ \S+ \S+ %d\s" % wanted.inode, re.MULTILINE)
    for pid in list_pids(facts.proc):
        if pid != facts.pid and _matches(line, facts.proc / str(pid) / "maps"):
            yield pid


def _matches(line: re.Pattern[bytes], path: Path) -> bool:
    try:
        return line.search(path.read_bytes()) is not None
    except OSError:  # it has ended, or is not ours
        return False


def link_shared(report: Report) -> None:
    """Who holds a lock in one process keeps it from the others, too: likely, as each was looked at a little later."""
    same: dict[str, list[Object]] = {}
    for one in report.objects:
        if one.shared is not None:
            same.setdefault(one.shared, []).append(one)
    by_id = {one.id: one for group in same.values() for one in group}
    _drop_copies(report, by_id)
    holds = [edge for edge in report.edges if edge.kind == "holds" and edge.to in by_id]
    known = {(edge.origin, edge.to) for edge in holds}
    for edge in holds:
        certainty: Certainty = "possible" if edge.certainty == "possible" else "likely"
        others = [one for one in same[by_id[edge.to].shared or ""] if (edge.origin, one.id) not in known]
        known.update((edge.origin, one.id) for one in others)
        report.edges += [replace(edge, to=one.id, certainty=certainty) for one in others]


def _drop_copies(report: Report, shared: dict[str, Object]) -> None:
    """A fork copies the frames of who forks, and his `with` blocks with them: the lock is his, not the child's."""
    processes = {one.id: one for one in report.processes}
    of_moment = {one.id: processes[one.process] for one in report.moments}
    holds = [
        (of_moment[shared[one.to].moment], one) for one in report.edges if one.kind == "holds" and one.to in shared
    ]
    taken = {(process.pid, shared[one.to].shared, _line(one)) for process, one in holds}
    copies = [
        one
        for process, one in holds
        if process.forked and (process.ppid, shared[one.to].shared, _line(one)) in taken and one.at is not None
    ]
    report.edges = [one for one in report.edges if not any(one is copy for copy in copies)]
    dropped = {(one.origin, one.to) for one in copies}
    for thread in report.threads:
        thread.holds = [one for one in thread.holds if (thread.id, one) not in dropped]


def _line(hold: Edge) -> tuple[str | None, int | None]:
    return (hold.at.file, hold.at.line) if hold.at else (None, None)
