"""Generated programs of greenlets, read from outside, against what they say of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments import Environment
from harness import TARGETS, Target, running, wait_until
from lastwords.examine import Options, attach_process
from lastwords.frames import python_frames
from lastwords.model import Greenlet, Report

Facts = dict[str, Any]


@dataclass
class MeasuredGreenlets:
    """What came of some programs: how many, how many greenlets and frames in all, and what was read wrongly."""

    interpreter: str
    programs: int = 0
    greenlets: int = 0
    frames: int = 0
    failures: list[str] = field(default_factory=list)


def measure(name: str, environment: Environment, seeds: range, options: Options) -> MeasuredGreenlets:
    """These programs, one after another in one process of the interpreter of that name."""
    measured = MeasuredGreenlets(name)
    command: list[str | Path] = [environment.python, TARGETS / "greenlets_generated.py"]
    with running(command, env=environment.env) as target:
        for seed in seeds:
            facts = run_program(target, seed, measured.programs)
            report = attach_process(target.pid, options)
            measured.programs += 1
            measured.greenlets += len(facts["greenlets"])
            measured.frames += sum(len(fact["stack"]) for fact in facts["greenlets"])
            measured.failures += [f"seed {seed}: {one}" for one in compare(report, facts)]
    return measured


def run_program(target: Target, seed: int, number: int) -> Facts:
    """Have the target run one more program; what it says of its greenlets, when it stands."""
    target.send_line(str(seed))
    said = wait_for_lines(target, "facts ", number + 1)
    wait_for_lines(target, "ready", number + 1)
    facts: Facts = json.loads(said.removeprefix("facts "))
    return facts


def wait_for_lines(target: Target, beginning: str, count: int) -> str:
    """The last of `count` lines that begin so."""

    def find() -> list[str]:
        whole = target.stdout.text.rpartition("\n")[0]
        return [line for line in whole.splitlines() if line.startswith(beginning)]

    wait_until(lambda: len(find()) >= count or target.process.poll() is not None, f"{count} lines {beginning!r}")
    lines = find()
    assert len(lines) >= count, target.describe()
    return lines[count - 1]


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
    if found.state == "suspended":
        stack = [[frame.function, frame.file, frame.line] for frame in python_frames(found.stack)]
        for number, (one, other) in enumerate(zip(stack, fact["stack"], strict=False)):
            if one != other:
                yield f"frame {number} of {fact['address']:#x} is {one[0]} line {one[2]}, not {other}"
        if len(stack) != len(fact["stack"]):
            yield f"stack of {fact['address']:#x} has {len(stack)} frames, not {len(fact['stack'])}"


def state_of(fact: Facts, facts: Facts) -> str:
    """A main greenlet of another thread runs there; of a thread that a fork did not take along nothing runs."""
    if fact["dead"] or not fact["started"]:
        return "dead" if fact["dead"] else "unstarted"
    is_other_main = (
        fact["is_main"]
        and str(fact["main"]) in facts["threads"]
        and not any(one["running"] and one["main"] == fact["main"] for one in facts["greenlets"])
    )
    return "running" if fact["running"] or is_other_main else "suspended"
