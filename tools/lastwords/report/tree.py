"""A trace as a tree: what was called, what each call waited for and how long. Quick calls are folded.

_exitfunc(self=<_MainThread>)  threading.py:845  1.7 ms  raised KeyError: 140...
|- __stop(self=...)  0.7 ms
`- __delete(self=...)  0.3 ms  raised KeyError: 140...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath

from lastwords.model import TraceCall
from lastwords.report.clean import clean

SHARE = 0.05  # of the outermost call's time: what is worth a line of its own
LEAST = 0.001  # seconds
MAX_DEPTH = 6  # deeper calls are shown only for what they raised or still wait for
MAX_CHANGES = 4
MAX_TEXT = 60
WAITS = ("acquire", "join", "_shutdown", "sleep", "select", "poll", "wait", "waitpid", "read", "recv", "accept")


def format_trace(calls: Iterable[TraceCall]) -> Iterator[str]:
    """The outermost calls and what they called, a line each."""
    for call in calls:
        yield from _Tree(call).lines()


class _Tree:
    def __init__(self, root: TraceCall) -> None:
        self.root = root
        self.least = max(LEAST, SHARE * (root.seconds or 0.0))
        self.noted: set[int] = set()
        self._note(root, 0)

    def _note(self, call: TraceCall, depth: int) -> bool:
        """Whether the call, or one below it, is worth a line: it is slow, still open, or the shutdown's own."""
        below = [self._note(inner, depth + 1) for inner in call.calls]
        noted = any(below) or self._is_notable(call, depth)
        if noted:
            self.noted.add(id(call))
        return noted

    def _is_notable(self, call: TraceCall, depth: int) -> bool:
        if call.seconds is None:
            return True
        if depth > MAX_DEPTH:
            return False
        if call.kind == "builtin" and call.function.endswith("._shutdown"):
            return True
        return call.seconds >= self.least or (call.kind == "python" and _name(call.file) == "threading.py")

    def lines(self) -> Iterator[str]:
        yield _describe(self.root)
        yield from self._below(self.root, "")

    def _below(self, call: TraceCall, indent: str) -> Iterator[str]:
        for item, is_last in _with_last(self._fold(call)):
            yield indent + ("`- " if is_last else "|- ") + (_describe(item) if isinstance(item, TraceCall) else item)
            if isinstance(item, TraceCall):
                yield from self._below(item, indent + ("   " if is_last else "|  "))

    def _fold(self, call: TraceCall) -> Iterator[TraceCall | str]:
        """The locals that changed, then the calls in their order, those in a row that are quick made into one line."""
        if call.changed:
            more = len(call.changed) - MAX_CHANGES
            shown = [_short(change) for change in call.changed[:MAX_CHANGES]]
            yield "changed: " + "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
        quick: list[TraceCall] = []
        for inner in call.calls:
            if id(inner) not in self.noted:
                quick.append(inner)
                continue
            yield from _folded(quick)
            quick = []
            yield inner
        yield from _folded(quick)


def _folded(quick: list[TraceCall]) -> Iterator[TraceCall | str]:
    if len(quick) == 1 and not quick[0].calls:
        yield quick[0]
    elif quick:
        names = ", ".join(dict.fromkeys(_local(call.function) for call in quick[:3]))
        seconds = sum(call.seconds or 0.0 for call in quick)
        yield f"... {_count(quick)} quick calls ({names}{', ...' if len(quick) > 3 else ''})  {_duration(seconds)}"


def _count(calls: list[TraceCall]) -> int:
    return sum(1 + _count(call.calls) for call in calls)


def _local(function: str) -> str:
    return clean(function.rpartition("<locals>.")[2])


def _describe(call: TraceCall) -> str:
    arguments = ", ".join(f"{name}={_short(text)}" for name, text in call.arguments.items())
    parts = [f"{_local(call.function)}({arguments})"]
    if call.file and call.kind == "python":
        parts.append(f"{clean(_name(call.file))}:{call.line}")
    parts.append(_time(call))
    if call.exception:
        parts.append(f"raised {clean(call.exception)}")
    elif call.result not in (None, "None"):
        parts.append(f"-> {clean(_short(call.result or ''))}")
    return "  ".join(parts)


def _time(call: TraceCall) -> str:
    waits = call.kind == "builtin" and call.function.rpartition(".")[2] in WAITS
    if call.seconds is None:
        return "still waiting when the trace ended" if waits else "had not returned when the trace ended"
    return ("waited " if waits else "") + _duration(call.seconds)


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1_000_000:.0f} us"


def _name(file: str | None) -> str:
    return PurePath(file or "").name


def _short(text: str) -> str:
    return clean(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "...")


def _with_last(items: Iterable[TraceCall | str]) -> Iterator[tuple[TraceCall | str, bool]]:
    held = list(items)
    for number, item in enumerate(held, 1):
        yield item, number == len(held)
