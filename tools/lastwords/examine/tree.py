"""`attach --tree`: a process and all its descendants at nearly one moment, as one report.

All are prepared first (what takes long: see capture/stop/live.py), then held and copied one after the other, each for
its own few milliseconds, and read when all run again. What is no Python is listed with what /proc tells of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from lastwords.capture import procfs
from lastwords.capture.captured import Captured
from lastwords.capture.kernel.facts import Facts, read_facts
from lastwords.capture.kernel.family import Member, list_family
from lastwords.capture.kernel.peers import OpenFiles, format_argv
from lastwords.capture.stop.live import Steps
from lastwords.cpython.refusals import NotPythonError, explain_end, explain_gone, refuse_thread
from lastwords.errors import LastwordsError, TargetError
from lastwords.examine.describe import describe_process, new_report
from lastwords.examine.process import Attached, explained
from lastwords.examine.read import Options
from lastwords.examine.shared import link_shared
from lastwords.examine.unread import add_unread
from lastwords.model import Edge, Greenlet, Process, Report, Task, Thread

PREPARED_LIMIT = 24  # processes at once: each has one of ours beside it that will hold it
SHARED_LIMIT = 2_000  # descriptors of which the other end is looked for
SAID_LIMIT = 10
SHARED = ("pipe:", "socket:")


class _One(msgspec.Struct):
    """A process of the tree, from its preparation to its report. `error`: why it was not read."""

    member: Member
    number: int
    attached: Attached | None = None
    steps: Steps | None = None
    captured: Captured | None = None
    report: Report | None = None
    error: LastwordsError | None = None

    @property
    def process(self) -> str:
        """The id of its process."""
        return f"process-{self.member.pid}"


class _Tree:
    """What all processes of the tree have in common."""

    def __init__(self, options: Options, pause: bool, proc: Path) -> None:
        self.options, self.pause, self.proc = options, pause, proc
        self.open_files = OpenFiles(proc)

    def facts(self, one: _One) -> Facts:
        return read_facts(one.member.pid, self.proc, self.open_files)

    def prepare(self, one: _One, opened: ExitStack) -> None:
        """Up to where only what is quick is left to do."""
        try:
            with explained(one.member.pid, self.proc):
                way = procfs.find_way_in(one.member.pid, self.proc)
                if one.member.state in "ZX" and way == one.member.pid:
                    return
                one.attached = Attached(way, self.options, self.proc, one.number, self.open_files)
                one.steps = one.attached.steps(self.pause)
                opened.callback(one.steps.close)
                next(one.steps)
        except LastwordsError as error:
            one.error = error

    def capture(self, one: _One) -> None:
        """What is quick: hold, copy, let go."""
        if one.attached is None or one.steps is None or one.error is not None:
            return
        try:
            with explained(one.member.pid, self.proc):
                one.captured = one.attached.finish(one.steps)
        except LastwordsError as error:
            one.error = error

    def read(self, one: _One) -> None:
        """What was copied, while all run."""
        if one.attached is None or one.captured is None:
            return
        try:
            with explained(one.member.pid, self.proc):
                one.report = one.attached.report(one.captured, self.pause)
        except LastwordsError as error:
            one.error = error
        one.captured = None


def attach_tree(root: int, options: Options, *, pause: bool = True, proc: Path = procfs.PROC, first: int = 1) -> Report:
    """One moment of each process below `root`, and of `root`. What cannot be read is a problem of the report.

    `first` is the number of the first moment: in a report that has others already.
    Raises TargetError or SetupError where none of them could be read.
    """
    try:
        refuse_thread(root, proc)
    except procfs.ProcessGoneError:
        raise explain_gone(root) from None
    family = list_family(root, proc)
    if not family:
        raise explain_gone(root)
    tree = _Tree(options, pause, proc)
    ones = [_One(member, number) for number, member in enumerate(family, first)]
    for at in range(0, len(ones), PREPARED_LIMIT):
        several = ones[at : at + PREPARED_LIMIT]
        with ExitStack() as opened:
            for one in several:
                tree.prepare(one, opened)
            for one in several:
                tree.capture(one)
    later = list_family(root, proc)
    for one in ones:
        tree.read(one)
    _check_that_one_was_read(root, ones, proc)
    return _make_report(tree, ones, later)


def _check_that_one_was_read(root: int, ones: Sequence[_One], proc: Path) -> None:
    if any(one.report for one in ones):
        return
    errors = [one.error for one in ones if one.error and not isinstance(one.error, NotPythonError)]
    if errors:
        raise errors[0]
    ended = explain_end(root, proc)
    if ended is not None:
        raise ended
    name = f"process {root} ({format_argv(list(ones[0].member.argv))})"
    below = {1: "and nothing is below it", 2: "nor is the process below it"}
    others = below.get(len(ones), f"nor are the {len(ones) - 1} processes below it")
    raise TargetError(f"{name[0].upper()}{name[1:]} is not Python, {others}.", "lastwords ps")


def _make_report(tree: _Tree, ones: Sequence[_One], later: Sequence[Member]) -> Report:
    report = new_report("attach")
    read = [one.attached for one in ones if one.attached and one.report]
    ended = max(one.ended for one in read)
    for one in ones:
        if one.report is not None:
            _add(report, one.report)
        else:
            why = None if one.error is None or isinstance(one.error, NotPythonError) else one.error.fact
            threads = add_unread(report, one.number, _describe(one.member, tree.proc), tree.facts(one), why)
            _set_back(threads, time.monotonic() - ended)
    report.window_ms = 1000 * (ended - min(one.began for one in read))
    report.problems += _describe_changes(ones, later)
    _link(report, ones)
    link_shared(report)
    _add_peers(report, {one.process: tree.facts(one) for one in ones})
    return report


def _set_back(threads: Sequence[Thread], seconds: float) -> None:
    """How long they had slept when the others were read."""
    for one in threads:
        if one.idle_s is not None:
            one.idle_s = max(one.idle_s - seconds, 0.0)


def _describe(member: Member, proc: Path) -> Process:
    """What /proc tells of it still."""
    try:
        found = describe_process(member.pid, None, proc)
    except (OSError, procfs.ProcessGoneError):
        found = Process(id=f"process-{member.pid}", pid=member.pid)
    found.ppid = member.ppid
    found.argv = list(member.argv)
    return found


def _add(report: Report, part: Report) -> None:
    """All that `part` has, which is about another process."""
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        if isinstance(value, list):
            getattr(report, field.name).extend(value)


def _describe_changes(ones: Sequence[_One], later: Sequence[Member]) -> Iterator[str]:
    """Who came and who went while the others were read."""
    before = {(one.member.pid, one.member.started) for one in ones}
    after = {(member.pid, member.started) for member in later if member.state not in "ZX"}
    new = [one for one in later if (one.pid, one.started) not in before]
    gone = [
        one.member for one in ones if one.member.state not in "ZX" and (one.member.pid, one.member.started) not in after
    ]
    said = [
        *(f"{_name(one)} ended, or lost its parent, while the tree was read" for one in gone),
        *(f"{_name(one)} was started while the tree was read, and is not in the report" for one in new),
    ]
    yield from said[:SAID_LIMIT]
    if len(said) > SAID_LIMIT:
        yield f"{len(said) - SAID_LIMIT} more processes came or went while the tree was read"


def _name(member: Member) -> str:
    return f"process {member.pid} ({format_argv(list(member.argv))})"


def _link(report: Report, ones: Sequence[_One]) -> None:
    """Each process to its parent, each thread, greenlet and task to the process that it waits for."""
    known = {one.member.pid: one.process for one in ones}
    for one in ones[1:]:
        parent = known[one.member.ppid]
        report.edges.append(Edge(origin=one.process, to=parent, kind="parent", certainty="certain"))
    owners = {moment.id: moment.process for moment in report.moments}
    actors: list[Thread | Greenlet | Task] = [*report.threads, *report.greenlets, *report.tasks]
    for actor in actors:
        wait = actor.waits_for
        target = known.get(wait.pid) if wait and wait.pid else None
        if wait is not None and target is not None and target != owners[actor.moment]:
            wait.target = target
            edge = Edge(origin=actor.id, to=target, kind="waits", certainty=wait.certainty, evidence=wait.detail)
            report.edges.append(edge)


def _add_peers(report: Report, facts: dict[str, Facts]) -> None:
    """Of pipes and sockets, the processes of this report that have the other end."""
    pids = {process.pid: process.id for process in report.processes}
    shared = [
        (process, descriptor)
        for process in report.processes
        for descriptor in process.fds
        if descriptor.target.startswith(SHARED)
    ]
    for process, descriptor in shared[:SHARED_LIMIT]:
        other = facts[process.id].other_end(descriptor.fd)
        names = [pids[pid] for pid in other.pids if pid in pids and pid != process.pid] if other else []
        descriptor.peer = ", ".join(names) or None
    if len(shared) > SHARED_LIMIT:
        left = len(shared) - SHARED_LIMIT
        report.problems.append(f"of {left} pipes and sockets the other end was not looked for")
