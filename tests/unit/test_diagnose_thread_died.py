"""`thread-died`: a thread ended by an exception, and others wait for what it knew; and near misses."""

from __future__ import annotations

from typing import Any

import pytest

from lastwords.diagnose import diagnose
from lastwords.model import ActiveThread, Caught, ExceptionValue, Finding, Frame, Known, Object, Thread, ThreadingState
from sample_waits import APP, Scene

ADDRESS = 0x7F00


class Death(Scene):
    """MainThread waits for an event, and a thread that knew it has died before."""

    def __init__(self, **knew: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.main: Thread = self.thread("MainThread", 7)
        self.event: Object = self.lock("__main__.loaded", "event", locked=None, count=0, address=ADDRESS)
        self.waits(self.main, self.event)
        self.moment.reason = "hang"
        self.dead = Thread(id="t-loader", name="loader", moment="moment-0")
        self.report.threads.append(self.dead)
        at = Frame(kind="python", function="load", file=APP, line=4, source="rows = load()")
        self.caught = Caught(
            id="exception-1",
            process="process-7",
            moment="moment-0",
            how="thread",
            thread="t-loader",
            exception=ExceptionValue(type="NameError", traceback=[at]),
            knew=[Known(**{"kind": "event", "address": ADDRESS, "name": "__main__.loaded", **knew})],
        )
        self.report.exceptions.append(self.caught)

    def find(self) -> Finding | None:
        return next((one for one in diagnose(self.report) if one.code == "thread-died"), None)


def test_a_thread_that_died_before_it_set_the_event() -> None:
    scene = Death()
    finding = diagnose(scene.report)[0]
    assert (finding.code, finding.certainty) == ("thread-died", "certain")
    assert finding.title == (
        "thread loader died of NameError at app.py:4, and MainThread waits for event __main__.loaded, which it knew"
    )
    assert {(APP, 4), (APP, 7)} <= {(one.file, one.line) for one in finding.evidence}
    assert "exception-swallowed" not in [one.code for one in diagnose(scene.report)]


def test_another_name_at_the_same_address_is_likely_the_same() -> None:
    finding = Death(name="jobs.loaded").find()
    assert finding is not None
    assert finding.certainty == "likely"


@pytest.mark.parametrize("knew", [{"address": 0x8000}, {"kind": "lock"}])
def test_it_knew_something_else(knew: dict[str, Any]) -> None:
    assert Death(**knew).find() is None


def test_somebody_is_left_who_may_do_it() -> None:
    scene = Death()
    scene.thread("second try")  # it runs
    assert scene.find() is None


@pytest.mark.parametrize("change", [{"how": "unraisable"}, {"process": "process-8"}, {"knew": []}])
def test_an_exception_that_ended_no_thread_of_this_process(change: dict[str, Any]) -> None:
    scene = Death()
    for name, value in change.items():
        setattr(scene.caught, name, value)
    assert scene.find() is None


def test_a_wait_that_ends_by_itself() -> None:
    scene = Death()
    assert scene.main.waits_for is not None
    scene.main.waits_for.has_timeout = True
    assert scene.find() is None


def join(function: str = "join", count: int = 0, unfinished: int = 2) -> Scene:
    scene = Scene()
    jobs = scene.lock("jobs", "queue", locked=None, type="queue.Queue", count=count, unfinished=unfinished)
    scene.waits(scene.thread("MainThread", 11), jobs, function=function)
    state = ThreadingState(moment="moment-1", active=[ActiveThread(key=1)], ended=["sender"])
    scene.report.threading.append(state)
    return scene


def test_items_that_were_taken_and_never_done() -> None:
    findings = {one.code: one for one in diagnose(join().report)}
    assert findings["thread-died"].certainty == "likely"  # who took them is not known
    assert findings["thread-died"].title == (
        "MainThread waits for 2 items of queue jobs that were taken and never done; whoever took them is gone"
    )
    assert "sender" in [one.value for one in findings["thread-died"].evidence]


@pytest.mark.parametrize("change", [{"count": 2}, {"function": "get"}, {"unfinished": 0}])
def test_nobody_took_anything(change: dict[str, Any]) -> None:
    assert "thread-died" not in [one.code for one in diagnose(join(**change).report)]
