"""`interrupt-lost` where the interrupt ended the exit's wait for a thread: that thread is named."""

from __future__ import annotations

from typing import Any

import pytest

import sample_reports as sample
from lastwords.diagnose import diagnose
from lastwords.model import Finding, Frame, Thread, WaitsFor
from sample_reports import caught, native, python

AT = [Frame(kind="python", module="__main__", function="serve", file="/srv/app.py", line=13)]
WAIT = WaitsFor(kind="queue", detail="Queue.get: 0 items")


def judge(function: str = "_shutdown", *, in_c: bool = False, **thread: Any) -> Finding:  # noqa: ANN401
    frames = [python(function, "/usr/lib/python3.11/threading.py", 1590)]
    one = caught(
        "KeyboardInterrupt",
        native("PyErr_WriteUnraisable", "wait_for_thread_shutdown"),
        [] if in_c else frames,
        python_stack=frames if in_c else [],
        phase="shutdown",
        moment="moment-1",
    )
    fields: dict[str, Any] = {"moment": "moment-1", "daemon": False, "is_main": False, **thread}
    main = Thread(id="t-1", name="MainThread", moment="moment-1", daemon=False, is_main=True)
    server = Thread(id="t-2", name="server", stack=AT, waits_for=WAIT, **fields)
    return diagnose(sample.report(one, moments=[sample.moment()], threads=[main, server]))[0]


def test_the_thread_for_which_the_exit_waited() -> None:
    finding = judge()
    assert (finding.code, finding.certainty) == ("interrupt-lost", "certain")
    assert finding.title == (
        "KeyboardInterrupt ended the wait of the exit for thread server, which waits: Queue.get: 0 items"
    )
    assert [(one.name, one.line) for one in finding.subjects if one.kind == "thread"] == [("server", 13)]
    assert (finding.evidence[0].file, finding.evidence[0].line) == ("/srv/app.py", 13)


def test_the_join_in_c_has_no_traceback() -> None:
    assert judge(in_c=True).title == judge().title


@pytest.mark.parametrize(
    "change",
    [{"daemon": True}, {"daemon": None}, {"finishing": True}, {"moment": "moment-0"}, {"function": "notify"}],
)
def test_for_others_it_did_not_wait(change: dict[str, Any]) -> None:
    finding = judge(**change)
    assert finding.code == "interrupt-lost"
    assert "server" not in finding.title
    assert not [one for one in finding.subjects if one.kind == "thread"]
