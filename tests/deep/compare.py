"""What a program says of itself against what was read of it from outside, field by field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lastwords.examine.stacks import NOT_HELD
from lastwords.frames import python_frames
from lastwords.model import ExceptionValue, Frame, Report, Thread, Value

SHORT = 60  # characters: a repr that is shorter need not be cut
Facts = dict[str, Any]


class Difference(NamedTuple):
    """`where` names a field of a thread, frame, variable."""

    where: str
    expected: object
    found: object

    def __str__(self) -> str:
        return f"{self.where}: it is {_cut(self.expected)}, and was read as {_cut(self.found)}"


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) < 500 else text[:500] + "..."


@dataclass
class Comparison:
    """Of one program. `fields` counts what was compared."""

    facts: Facts
    report: Report
    differences: list[Difference] = field(default_factory=list)
    fields: int = 0

    def same(self, where: str, expected: object, found: object) -> bool:
        """Compare one field."""
        self.fields += 1
        if expected != found:
            self.differences.append(Difference(where, expected, found))
        return expected == found

    def true(self, where: str, holds: object, found: object) -> None:
        """Check a field that is not told by equality."""
        self.fields += 1
        if not holds:
            self.differences.append(Difference(where, "otherwise", found))


def compare(facts: Facts, report: Report) -> Comparison:
    """All differences between the program's own words and the report."""
    comparison = Comparison(facts, report)
    comparison.same("problems", [], report.moments[0].capture.problems)
    ids = Counter([*(one.id for one in report.threads), *(one.id for one in report.objects)])
    comparison.same("ids that are not unique", [], [name for name, count in ids.items() if count > 1])
    comparison.same("sys.modules", facts["modules"], report.processes[0].modules)
    _compare_threading(comparison)
    by_ident = {thread.ident: thread for thread in report.threads if thread.interpreter == 0}
    expected = {int(ident) for ident in facts["stacks"]} | {facts["teller"]}
    if comparison.same("threads", expected, set(by_ident)):
        for ident, frames in facts["stacks"].items():
            _compare_thread(comparison, by_ident[int(ident)], frames)
        _compare_holds(comparison)
    _compare_inside(comparison)
    return comparison


def _compare_threading(comparison: Comparison) -> None:
    facts, state = comparison.facts, comparison.report.threading[0]
    found = [[one.key, [one.name, one.type, one.ident, one.daemon]] for one in state.active]
    comparison.same("threading.error", None, state.error)
    comparison.same("threading._active", facts["active"], found)
    comparison.same("threading.main_ident", facts["main"], state.main_ident)


def _compare_thread(comparison: Comparison, thread: Thread, frames: Sequence[Facts]) -> None:
    facts, key = comparison.facts, str(thread.ident)
    name, _, _, daemon = next(entry for active, entry in facts["active"] if active == thread.ident)
    where = f"thread {name!r}"
    if not (thread.error or "").startswith(NOT_HELD):  # that is of its C stack alone
        comparison.same(f"{where} error", None, thread.error)
    comparison.same(f"{where} name", name, thread.name)
    comparison.same(f"{where} daemon", daemon, thread.daemon)
    comparison.same(f"{where} is_main", thread.ident == facts["main"], thread.is_main)
    comparison.same(f"{where} alive", True, thread.alive)
    comparison.same(f"{where} finishing", False, thread.finishing)
    comparison.same(f"{where} state", "sleeping", thread.state)
    comparison.same(f"{where} pending", None, thread.pending)
    if key in facts["tids"]:  # one that sleeps since an earlier program has said so then
        comparison.same(f"{where} tid", facts["tids"][key], thread.tid)
        _compare_exception(comparison, f"{where} handled", facts["handled"][key], thread.handled)
        _compare_wait(comparison, where, facts["waits"][key], thread)
    _compare_frames(comparison, where, frames, python_frames(thread.stack))


def _compare_frames(comparison: Comparison, where: str, expected: Sequence[Facts], found: Sequence[Frame]) -> None:
    if not comparison.same(f"{where} number of frames", len(expected), len(found)):
        names = [frame["name"] for frame in expected], [frame.function for frame in found]
        comparison.same(f"{where} functions", *names)
        return
    for at, (facts, frame) in enumerate(zip(expected, found, strict=True)):
        here = f"{where} frame {at} ({facts['name']})"
        comparison.same(f"{here} file", facts["file"], frame.file)
        comparison.same(f"{here} line", facts["line"], frame.line)
        comparison.same(f"{here} function", facts["name"], frame.function)
        comparison.same(f"{here} qualname", facts["qualname"], frame.qualname)
        comparison.same(f"{here} column", facts["column"], frame.column)
        if facts["locals"] is not None:
            _compare_locals(comparison, here, facts["locals"], frame.locals)


def _compare_locals(comparison: Comparison, where: str, expected: Facts, found: dict[str, Value] | None) -> None:
    bound = {name: value for name, value in (found or {}).items() if value.missing != "not available"}
    if comparison.same(f"{where} names of locals", set(expected), set(bound)):
        for name, (kind, text, address) in expected.items():
            comparison.same(f"{where} local {name} address", address, bound[name].address)
            if text is not None:
                comparison.same(f"{where} local {name} type", kind, bound[name].type)
                _compare_repr(comparison, f"{where} local {name}", text, bound[name])


def _compare_repr(comparison: Comparison, where: str, expected: str, found: Value) -> None:
    """The same, or, where it says that it was cut, the same up to where it was."""
    text = found.repr
    if text is None or not found.truncated:
        comparison.same(where, expected, text)
        return
    begins, dots, _ = text.partition("...")
    comparison.true(f"{where} is cut", dots and len(expected) > SHORT, text)
    begins = _without_quotes(begins.rstrip(", '\")"))  # what closes, or goes on, where it was cut
    comparison.same(where, _without_quotes(expected)[: len(begins)], begins)


def _without_quotes(text: str) -> str:
    """Which quotes a repr has depends on all of its text."""
    return re.sub(r"[\\'\"]", "", text)


def _compare_exception(
    comparison: Comparison, where: str, expected: Facts | None, found: ExceptionValue | None
) -> None:
    if not comparison.same(f"{where} there", expected is not None, found is not None) or not expected or not found:
        return
    comparison.same(f"{where} type", expected["type"], found.type)
    if not expected["type"].endswith("ExceptionGroup"):  # of these the reader says that it does not tell the text
        comparison.same(f"{where} error", None, found.error)
        comparison.same(f"{where} value", expected["value"], found.value)
    frames = [[frame.file, frame.line, frame.function] for frame in found.traceback]
    comparison.same(f"{where} traceback", expected["traceback"], frames)
    _compare_exception(comparison, f"{where} cause", expected["cause"], found.cause)
    _compare_exception(comparison, f"{where} context", expected["context"], found.context)


def _compare_wait(comparison: Comparison, where: str, expected: Facts, thread: Thread) -> None:
    if expected["kind"] == "other_interpreter":
        return  # told by the sub-interpreter's own thread
    found = thread.waits_for
    if not comparison.same(f"{where} waits", True, found is not None) or found is None:
        return
    comparison.same(f"{where} waits for kind", expected["kind"], found.kind)
    comparison.same(f"{where} waits certainly", "certain", found.certainty)
    if expected["object"]:
        target = next((one.address for one in comparison.report.objects if one.id == found.target), None)
        comparison.same(f"{where} waits for object", expected["object"], target)
    if expected["target"]:
        target = next((one.ident for one in comparison.report.threads if one.id == found.target), None)
        comparison.same(f"{where} waits for thread", expected["target"], target)
    if expected["fd"] is not None:
        comparison.true(
            f"{where} waits on fd {expected['fd']}", f" {expected['fd']}" in f" {found.detail}", found.detail
        )


def _compare_holds(comparison: Comparison) -> None:
    """Every `with` is found; nothing is said to be certain that is not so."""
    report = comparison.report
    addresses = {one.id: one.address for one in report.objects}
    certain = {(edge.origin, addresses[edge.to]) for edge in report.edges if edge.kind == "holds"}
    for thread in report.threads:
        if thread.interpreter != 0 or str(thread.ident) not in comparison.facts["waits"]:
            continue
        held = comparison.facts["holds"].get(str(thread.ident), [])
        found = {address for origin, address in certain if origin == thread.id}
        where = f"thread {thread.name!r} holds"
        for address, kind, how in held:
            if how == "with" or kind != "lock":
                comparison.true(f"{where} {kind} {address:#x} by {how}", address in found, found)
        _compare_certain(comparison, where, thread, {address for address, _, _ in held})


def _compare_certain(comparison: Comparison, where: str, thread: Thread, held: set[int]) -> None:
    addresses = {one.id: one.address for one in comparison.report.objects}
    certain = {
        addresses[edge.to]
        for edge in comparison.report.edges
        if edge.kind == "holds" and edge.origin == thread.id and edge.certainty == "certain"
    }
    comparison.same(f"{where} certainly, but does not", set(), {one for one in certain if one not in held})


def _compare_inside(comparison: Comparison) -> None:
    """A thread of a sub-interpreter, as that has described it."""
    expected = comparison.facts["inside"]
    if not expected:
        return
    key = (expected["interpreter"], expected["ident"])
    thread = next((one for one in comparison.report.threads if (one.interpreter, one.ident) == key), None)
    comparison.true(
        "sub-interpreter's thread", thread, [(one.interpreter, one.ident) for one in comparison.report.threads]
    )
    if thread is not None:
        frames = [[frame.file, frame.line, frame.function] for frame in python_frames(thread.stack)]
        comparison.same("sub-interpreter's frames", expected["frames"], frames)


def describe(differences: Sequence[Difference], limit: int = 20) -> Iterator[str]:
    """Lines for people."""
    yield from (str(one) for one in differences[:limit])
    if len(differences) > limit:
        yield f"and {len(differences) - limit} more"
