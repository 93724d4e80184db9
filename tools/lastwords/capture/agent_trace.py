"""hunter's events of one process, as the agent wrote them down, made into a tree of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lastwords.model import TraceCall

Record = dict[str, Any]
Source = Callable[[str | None, int | None], str | None]


def build_trace(records: Iterable[Record], process: str, source: Source) -> tuple[list[TraceCall], int]:
    """The outermost calls, and how many records did not fit. A call that never ended has no `seconds`."""
    tree = _Tree(process, source)
    unread = 0
    for record in records:
        try:
            tree.add(record)
        except (KeyError, TypeError, ValueError):
            unread += 1
    return tree.roots, unread


class _Tree:
    def __init__(self, process: str, source: Source) -> None:
        self.process = process
        self.source = source
        self.roots: list[TraceCall] = []
        self.calls: dict[int, TraceCall] = {}
        self.callers: dict[int, int | None] = {}
        self.raised: dict[int, TraceCall] = {}  # by the caller: the call into C whose exception it is about to see
        self.began: float | None = None

    def add(self, record: Record) -> None:
        """Raises KeyError or TypeError for a record that is none of ours."""
        {"call": self._call, "changed": self._changed, "raise": self._raise, "return": self._return}[record["kind"]](
            record
        )

    def _call(self, record: Record) -> None:
        if self.began is None:
            self.began = record["t"]
        call = TraceCall(
            process=self.process,
            function=record["function"],
            file=record["file"],
            line=record["line"],
            source=self.source(record["file"], record["line"]),
            kind="builtin" if record.get("builtin") else "python",
            start=record["t"] - self.began,
            arguments=dict(record["args"]),
        )
        self.calls[record["id"]] = call
        self.callers[record["id"]] = record["parent"]
        parent = self.calls.get(record["parent"]) if record["parent"] is not None else None
        (parent.calls if parent else self.roots).append(call)

    def _changed(self, record: Record) -> None:
        call = self.calls[record["id"]]
        call.changed += [f"{name} = {text}" for name, text in record["values"].items()]

    def _raise(self, record: Record) -> None:
        """What comes up straight out of a call that returned nothing is what ended that call."""
        into_c = self.raised.pop(record["id"], None)
        if into_c is not None:
            into_c.exception = record["text"]
        out_of = self.calls.get(record["out_of"]) if record["out_of"] is not None else None
        if out_of is not None and out_of.result in (None, "None"):
            out_of.exception, out_of.result = record["text"], None

    def _return(self, record: Record) -> None:
        call = self.calls[record["id"]]
        assert self.began is not None and call.start is not None  # the call came before
        call.seconds = max(record["t"] - self.began - call.start, 0.0)
        call.exception = record.get("exception") or ("an exception" if record.get("raised") else None)
        caller = self.callers[record["id"]]
        if record.get("raised") and caller is not None:
            self.raised[caller] = call
        call.result = None if call.exception else record["value"]
