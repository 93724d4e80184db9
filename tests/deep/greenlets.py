"""Generated programs of greenlets, read from outside, against what they say of themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deep.greenlet_relations import Facts, compare_relations
from environments import Environment
from harness import TARGETS, running
from lastwords.examine import Options, attach_process
from lastwords.frames import python_frames
from lastwords.model import Greenlet, Report

AT_ONCE = 25  # programs in one process


@dataclass
class MeasuredGreenlets:
    """What came of some programs: how many, how many greenlets, frames, waits, holds in all; what was read wrongly."""

    interpreter: str
    programs: int = 0
    greenlets: int = 0
    frames: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    holds: int = 0
    failures: list[str] = field(default_factory=list)


def measure(name: str, environment: Environment, seeds: range, options: Options) -> MeasuredGreenlets:
    """These programs, some at once in one process of the interpreter of that name."""
    measured = MeasuredGreenlets(name)
    for first in range(0, len(seeds), AT_ONCE):
        _measure_some(measured, environment, seeds[first : first + AT_ONCE], options)
    return measured


def _measure_some(measured: MeasuredGreenlets, environment: Environment, seeds: range, options: Options) -> None:
    command: list[str | Path] = [environment.python, TARGETS / "greenlets_generated.py", *map(str, seeds)]
    with running(command, env=environment.env) as target:
        facts: Facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
        target.wait_for("ready")
        report = attach_process(facts["pid"], options)
    forget_timers(facts)
    measured.programs += len(seeds)
    measured.greenlets += len(facts["greenlets"])
    measured.frames += sum(len(fact["stack"]) for fact in facts["greenlets"])
    measured.waits.update(fact["kind"] for fact in facts["waits"].values())
    measured.holds += len(facts["holds"])
    known = [*compare(report, facts), *compare_relations(report, facts), *report.moments[0].capture.problems]
    measured.failures += [f"seeds {seeds[0]} to {seeds[-1]}: {one}" for one in known]


def forget_timers(facts: Facts) -> None:
    """Whether one of a thread that a fork did not take along ends what waits there may be told so or so: none runs."""
    for fact in facts["greenlets"]:
        if str(fact["main"]) not in facts["threads"] and str(fact["address"]) in facts["waits"]:
            facts["waits"][str(fact["address"])]["timed"] = None


def compare(report: Report, facts: Facts) -> list[str]:
    """What differs between the two, in words."""
    known = {one.address: one for one in report.greenlets}
    wanted = {fact["address"]: fact for fact in facts["greenlets"]}
    differences = [f"{wanted[one]['type']} at {one:#x} was not found" for one in wanted.keys() - known.keys()]
    differences += [f"{known[one].type} at {one:#x} is none" for one in known.keys() - wanted.keys()]
    for address in wanted.keys() & known.keys():
        differences += compare_one(report, known[address], wanted[address], facts)
    return differences


def compare_one(report: Report, found: Greenlet, fact: Facts, facts: Facts) -> Iterator[str]:
    ident = facts["threads"].get(str(fact["main"]))
    threads = {thread.id: thread.ident for thread in report.threads}
    parent = next((one.address for one in report.greenlets if one.id == found.parent), None)
    pairs = {
        "type": (found.type, fact["type"]),
        "name": (found.name, fact["name"]),
        "parent": (parent, fact["parent"]),
        "main": (found.is_main, fact["is_main"]),
        "thread": (threads.get(found.thread or ""), ident),
        "state": (found.state, state_of(fact, facts)),
        "error": (found.error, None),
    }
    for what, (is_there, should_be) in pairs.items():
        if is_there != should_be:
            yield f"{what} of {fact['type']} at {fact['address']:#x} is {is_there!r}, not {should_be!r}"
    if found.waits_for is not None and str(found.address) not in facts["waits"] and not is_by_hand(fact, found, facts):
        yield f"{found.address:#x} waits for {found.waits_for}, which it does not say"
    if found.state == "suspended":
        stack = [[frame.function, frame.file, frame.line] for frame in python_frames(found.stack)]
        for number, (one, other) in enumerate(zip(stack, fact["stack"], strict=False)):
            if one != other:
                yield f"frame {number} of {fact['address']:#x} is {one[0]} line {one[2]}, not {other}"
        if len(stack) != len(fact["stack"]):
            yield f"stack of {fact['address']:#x} has {len(stack)} frames, not {len(fact['stack'])}"


def is_by_hand(fact: Facts, found: Greenlet, facts: Facts) -> bool:
    """Whether it is said to be suspended, and to wait for nothing but that somebody switches to it."""
    is_open = state_of(fact, facts) == "suspended" and facts["gevent"] and not fact["is_hub"]
    return is_open and found.waits_for is not None and found.waits_for.kind == "unknown"


def state_of(fact: Facts, facts: Facts) -> str:
    """Without a frame it runs in another thread; of a thread that a fork did not take along nothing runs."""
    if fact["dead"] or not fact["started"]:
        return "dead" if fact["dead"] else "unstarted"
    is_elsewhere = fact["elsewhere"] and str(fact["main"]) in facts["threads"]
    return "running" if fact["running"] or is_elsewhere else "suspended"
