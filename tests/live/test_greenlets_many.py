"""Greenlets that are most of their process: all its memory is copied, and the report is as if each had been read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from environments import Environment
from harness import TARGETS, running, wait_until_at_rest
from lastwords.capture.memory import Memory
from lastwords.capture.procfs import PROC
from lastwords.examine import Options, greenlet_search
from lastwords.examine.process import Attached
from lastwords.greenlets import search
from lastwords.model import Greenlet

COUNT = 700
pytestmark = pytest.mark.interpreters("!free_threaded")


@pytest.fixture
def pid(gevent_environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A process with greenlets of several kinds, that counts as one that is little else."""
    monkeypatch.setattr(greenlet_search, "OWN_SIZE", 1 << 30)
    command: list[str | Path] = [gevent_environment.python, TARGETS / "greenlets_many.py", str(COUNT)]
    with running(command, env=gevent_environment.env) as target:
        target.wait_for("ready")
        wait_until_at_rest(target.pid)
        yield target.pid


class Counted(Attached):
    """Remembers how many greenlets each dry run was about."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, Options(), PROC)
        self.looked_at: list[int] = []

    def _choose_greenlets(self, memory: Memory) -> greenlet_search.GreenletSearch | None:
        chosen = super()._choose_greenlets(memory)
        self.looked_at.append(len(chosen.found.addresses) if chosen else 0)
        return chosen


def attach(pid: int, *, by_examples: bool, pause: bool = True) -> tuple[list[Greenlet], list[int]]:
    """The greenlets of a report without gaps, and of how many each dry run was."""
    attached = Counted(pid)
    attached._may_choose = by_examples
    report = attached.capture(pause)
    assert not [one for one in report.moments[0].capture.problems if "captured" in one]
    return report.greenlets, attached.looked_at


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.11", "3.13", "3.14"))
def test_examples_tell_which_memory_is_needed(pid: int) -> None:
    found, [whole] = attach(pid, by_examples=False)
    assert len(found) >= whole > COUNT
    others, [few] = attach(pid, by_examples=True)
    assert few < COUNT / 2
    assert others == found
    assert attach(pid, by_examples=True, pause=False)[0] == found


@pytest.mark.interpreters(minors=("2.7", "3.11"))
def test_what_no_example_leads_to_is_read_the_next_time(pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found, [whole] = attach(pid, by_examples=False)
    monkeypatch.setattr(search, "EXAMPLES", 0)
    others, looked_at = attach(pid, by_examples=True)
    assert looked_at[0] == 0
    assert len(looked_at) > 1
    assert looked_at[2:] in ([], [whole])
    assert others == found
