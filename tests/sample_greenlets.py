"""Reports of gevent programs, as `attach` and `run` write them: what diagnoses of greenlets are tested with."""

from __future__ import annotations

from typing import Any

from lastwords.model import Caught, ExceptionValue, Frame, Greenlet, Hub, Report, WaitsFor
from sample_waits import APP, Scene, frame

HUB = frame("gevent.hub", "run")


class Greenlets(Scene):
    """A process whose hub polls; the main greenlet and one other are there."""

    def __init__(self, **hub: Any) -> None:  # noqa: ANN401 - the model's fields, handed on
        super().__init__()
        self.main = self.thread("MainThread", 7)
        self.computing, self.main.stack = self.main.stack, [HUB]
        known = {"state": "polling", "complete": True, "searched": True, "since_s": 0.2, **hub}
        self.hub = Hub(id="hub", moment="moment-1", thread="t-MainThread", greenlet="g-hub", **known)
        self.report.hubs.append(self.hub)
        self.first = self.add("main", is_main=True)
        self.add("hub", state="running")
        self.other = self.add("beat")
        self.main.greenlet = "g-hub"
        self.main.waits_for = WaitsFor(kind="io", call="epoll_wait", serves=True)

    def add(self, name: str, source: str = "", **fields: Any) -> Greenlet:  # noqa: ANN401
        known: dict[str, Any] = {"moment": "moment-1", "thread": "t-MainThread", "state": "suspended", **fields}
        at = Frame(kind="python", function=name, module="__main__", file=APP, line=30, source=source)
        one = Greenlet(id=f"g-{name}", name=name, address=0x600, stack=[at], **known)
        self.report.greenlets.append(one)
        return one

    def stranded(self) -> Greenlets:
        """The main greenlet waits for an event, the other sleeps."""
        event = self.lock("done", "event")
        self.first.waits_for = WaitsFor(kind="event", target=event.id, detail="an Event to be set")
        self.other.waits_for = WaitsFor(kind="sleep", has_timeout=True)
        self.hub.counts = {"timers": 1}
        return self

    def starved(self) -> Greenlets:
        """The other computes."""
        self.hub.state, self.hub.since_s, self.hub.counts = "switched out", 2.5, {"timers": 3}
        self.main.greenlet, self.main.waits_for, self.main.state = self.other.id, None, "running"
        self.main.stack = self.computing
        self.other.state = "running"
        return self

    def killed(self) -> Greenlets:
        """The main greenlet is inside gevent's `kill` of the other."""
        self.first.stack.insert(0, frame("gevent.greenlet", "kill"))
        self.first.waits_for = WaitsFor(kind="join", target=self.other.id)
        self.other.waits_for = WaitsFor(kind="sleep", has_timeout=True)
        return self


def caught(kind: str, *traceback: Frame) -> Report:
    scene = Scene()
    at = Frame(kind="python", function="on_done", module="__main__", file=APP, line=4, source="time.sleep(1)")
    exception = ExceptionValue(type=kind, traceback=[*traceback, at])
    scene.report.exceptions.append(
        Caught(id="exception-1", process="process-7", how="printed", exception=exception, moment=None)
    )
    return scene.report


def every_greenlet_hang() -> list[Report]:
    """One report for each code that is about greenlets and hubs."""
    misuse = caught("gevent.exceptions.BlockingSwitchOutError", frame("gevent.hub", "switch_out"))
    scenes = (Greenlets().stranded(), Greenlets().starved(), Greenlets().killed())
    return [*(scene.report for scene in scenes), misuse]
