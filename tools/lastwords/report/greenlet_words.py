"""What greenlets are called, what they wait for and hold, and what their hubs do, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lastwords.model import Edge, Greenlet, Hub, Report
from lastwords.report.threads import describe_object, format_time, say_wait, thread_name

STATES = {
    "polling": "in its loop",
    "callback": "in a callback",
    "switched out": "not in its loop: another greenlet runs",
    "unstarted": "not started",
}
UNIT = {"timers": "timer", "watchers": "descriptor", "callbacks": "callback"}


class Words:
    """Of one moment's greenlets; what is asked of each is found once for all."""

    def __init__(self, report: Report, found: Sequence[Greenlet]) -> None:
        self._greenlets = {one.id: one for one in found}
        self._threads = {one.id: thread_name(one) for one in report.threads}
        self._objects = {one.id: one for one in report.objects}
        self._holds: dict[str, list[Edge]] = {}
        self._holders: dict[str, list[Edge]] = {}
        for edge in report.edges:
            if edge.kind == "holds":
                self._holds.setdefault(edge.origin, []).append(edge)
                self._holders.setdefault(edge.to, []).append(edge)

    def name(self, greenlet: Greenlet) -> str:
        """`Greenlet-3`, `Hub at 0x7f...`, `the main greenlet`."""
        if greenlet.is_main:
            return f"the main greenlet{self.in_thread(greenlet)}"
        kind = (greenlet.type or "greenlet").rpartition(".")[2]
        return greenlet.name or f"{kind} at {greenlet.address or 0:#x}"

    def in_thread(self, greenlet: Greenlet) -> str:
        """` of MainThread`; nothing where its thread has ended."""
        name = self._threads.get(greenlet.thread or "")
        return f" of {name}" if name else ""

    def name_parent(self, greenlet: Greenlet) -> str | None:
        """The parent's name; None for a main greenlet."""
        parent = self._greenlets.get(greenlet.parent or "")
        return self.name(parent) if parent else None

    def _name_any(self, identity: str) -> str:
        """A greenlet, thread or object, by its id."""
        if identity in self._greenlets:
            return self.name(self._greenlets[identity])
        if identity in self._objects:
            return describe_object(self._objects[identity])
        return self._threads.get(identity, identity)

    def describe_wait(self, greenlet: Greenlet) -> str | None:
        """What it waits for, and who has that; None where it waits for nothing."""
        wait = greenlet.waits_for
        if wait is None:
            return None
        if wait.target is None or wait.kind in ("process", "io"):
            said = say_wait(wait)
        else:
            end = "the end of " if wait.kind == "join" else "the " if wait.target in self._objects else ""
            said = f"waits for {end}{self._name_any(wait.target)}"
        holders = self._holders.get(wait.target or "", [])
        names = " or ".join(f"{self._name_any(edge.origin)} ({edge.certainty})" for edge in holders)
        facts = [
            said,
            f"held by {names}" if names else "",
            f"until {format_time(wait.until)}" if wait.until else "with a timeout" if wait.has_timeout else "",
            "" if wait.certainty == "certain" else wait.certainty,
        ]
        return ", ".join(filter(None, facts))

    def describe_holds(self, greenlet: Greenlet) -> Iterator[str]:
        """What it holds, and how that is known."""
        for edge in self._holds.get(greenlet.id, []):
            yield f"holds the {self._name_any(edge.to)} ({edge.certainty}): {edge.evidence or 'no evidence kept'}"

    def describe_hub(self, hub: Hub) -> str:
        """`The hub of MainThread: in its loop, which turned 0.2 s ago; 3 timers, the first in 2 s; ...`."""
        thread = self._threads.get(hub.thread or "", "a thread that has ended")
        state = STATES.get(hub.state or "", "its state is not known")
        inside = f" ({hub.inside.function} at {hub.inside.file}:{hub.inside.line})" if hub.inside else ""
        since = f", its loop turned {hub.since_s:.1f} s ago" if hub.since_s is not None else ""
        counts = list(self._describe_counts(hub)) if hub.counts else ["what it watches for is not known"]
        return f"The hub of {thread}: {state}{inside}{since}; {', '.join(counts)}"

    @staticmethod
    def _describe_counts(hub: Hub) -> Iterator[str]:
        for name, unit in UNIT.items():
            count = hub.counts.get(name, 0)
            first = f" (the first {hub.timers[0].partition(':')[0]})" if name == "timers" and hub.timers else ""
            yield f"{count} {unit}{'' if count == 1 else 's'}{first}"
        if hub.others:
            yield f"{hub.others} of children, signals or other threads"
        if not hub.complete:
            yield "and what could not be read"
