"""What each thread waits for, read from outside, is what the target says of itself from inside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from harness import Target, wait_until
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.capture import procfs
from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured
from lastwords.capture.memory import ProcessMemory
from lastwords.capture.stop.kernel_threads import read_kernel_threads
from lastwords.cpython.gil import Gil, is_gil_word, read_gil
from lastwords.cpython.threads import PythonThread, read_threads
from lastwords.cpython.waiting.waits import Wait, read_waits

Start = Callable[..., Target]
Facts = dict[str, dict[str, Any]]


def capture(pid: int) -> Captured:
    """The process as it is now; its threads are asleep, or the test looks again."""
    threads = [replace(one, stood_still=True) for one in read_kernel_threads(pid)]
    return Captured(pid, ProcessMemory(pid), procfs.read_maps(pid), threads, this_machine(), "a test", is_live=True)


def look(target: Target) -> tuple[cpython.Interpreter, list[PythonThread], list[Wait]]:
    interp = cpython.open_process(target.pid)
    captured = capture(target.pid)
    threads = read_threads(interp, captured.threads)
    return interp, threads, read_waits(interp, threads, captured)


def is_asleep(target: Target) -> bool:
    return all(one.state == "S" and one.syscall is not None for one in read_kernel_threads(target.pid))


def by_name(target: Target, facts: Facts) -> dict[str, Wait]:
    waits = {wait.ident: wait for wait in look(target)[2]}
    return {name: waits[fact["ident"]] for name, fact in facts.items() if fact["ident"] in waits}


def say_wrong(facts: Facts, waits: dict[str, Wait]) -> dict[str, object]:
    """What does not agree: nothing is right."""
    wrong: dict[str, object] = {}
    for name, fact in facts.items():
        wait = waits.get(name)
        if wait is None or wait.kind != fact["kind"] or not has_object(wait, fact):
            wrong[name] = (fact, wait)
        elif "target" in fact and wait.target != fact["target"]:
            wrong[name] = ("target", fact, wait)
        elif "until" in fact and not tells_end(wait, fact["until"]):
            wrong[name] = ("until", fact, wait)
    return wrong


def tells_end(wait: Wait, until: float) -> bool:
    """When it ends; of musl's waits, how long they last."""
    if wait.until is None:
        return bool(wait.detail and wait.detail.endswith(", for 1e+04 s at most"))
    return abs(wait.until - until) <= 30


def has_object(wait: Wait, fact: dict[str, Any]) -> bool:
    return wait.object in fact["objects"] if fact["objects"] else wait.object is None


@pytest.mark.interpreters(extra=True)
def test_every_wait_is_what_the_target_says(interpreter: Python, start_target: Start) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    target = start_target(interpreter, "waits_for_everything.py", ready="facts ")
    facts: Facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    assert len(facts) >= 28
    polls = {"condition timed", "event timed", "queue get timed", "popen wait timed"}  # these run now and then
    wait_until(lambda: not set(say_wrong(facts, by_name(target, facts))) - polls, "all threads wait")
    looks: list[dict[str, Wait]] = []

    def all_are_right() -> bool:
        looks.append(by_name(target, facts))
        return not say_wrong(facts, looks[-1])

    wait_until(all_are_right, "those that poll wait, too")
    waits = looks[-1]
    assert say_wrong({**facts, "lock with": {**facts["lock with"], "objects": [1]}}, waits).keys() >= {"lock with"}
    assert all(one.certainty == "certain" for one in waits.values())
    assert [one.call for one in look(target)[2] if one.ident is None] == ["pause"]
    check_chains(facts, waits)
    check_gil(target)


def check_chains(facts: Facts, waits: dict[str, Wait]) -> None:
    """A lock, the condition on it, the event: each once, the outermost last."""
    for name in ("event", "queue get", "semaphore"):
        chain = waits[name].chain
        assert len(set(chain)) == len(chain) == 3
        assert chain[-1] == facts[name]["objects"][0]
    assert len(waits["lock with"].chain) == 1


def check_gil(target: Target) -> None:
    """A thread that sleeps in C code keeps the GIL; the main thread wants it, and nobody else but who polls."""
    interp = cpython.open_process(target.pid)
    assert not is_gil_word(interp, interp.image.start)
    target.send_line()
    wait_until(lambda: any(wait.kind == "gil" for wait in look(target)[2] if wait.tid == target.pid), "the GIL is held")
    wait_until(lambda: is_gil_told(target), "both ways to ask tell the same")  # it runs, and asks again each 5 ms


def is_gil_told(target: Target) -> bool:
    interp, threads, waits = look(target)
    (gil,) = read_gil(interp, threads)
    holder = next(thread for thread in threads if thread.tstate == gil.holder)
    wanting = {wait.ident for wait in waits if wait.kind == "gil"}
    assert {wait.target for wait in waits if wait.kind == "gil"} <= {holder.ident}
    assert next(wait for wait in waits if wait.ident == holder.ident).kind == "sleep"
    return bool(wanting) and wanting == {thread.ident for thread in gil.waiters}


@pytest.mark.interpreters(extra=True)
def test_the_exit_waits_for_a_thread(interpreter: Python, start_target: Start) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    target = start_target(interpreter, "waits_at_exit.py")
    fact = json.loads(target.wait_for("facts ").removeprefix("facts "))

    def main() -> Wait | None:
        return next((wait for wait in look(target)[2] if wait.tid == target.pid), None)

    wait_until(lambda: (wait := main()) and wait.kind == "join", "the main thread joins")
    wait = main()
    assert wait is not None
    assert (wait.object, wait.target, wait.certainty) == (fact["thread"], fact["ident"], "certain")
    assert wait.detail is not None
    assert wait.detail.endswith(": the last one")


@pytest.mark.interpreters(minors=["3.12", "3.13", "3.14", "3.15"])
def test_an_interpreter_has_a_gil_of_its_own(interpreter: Python, start_target: Start) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    target = start_target(interpreter, "has_two_gils.py")

    def gils() -> list[Gil]:
        interp, threads, _ = look(target)
        return read_gil(interp, threads)

    wait_until(lambda: [bool(gil.holder) for gil in gils()] == [False, True], "the second interpreter runs")
    interp, threads, _ = look(target)
    main, other = gils()
    assert (main.interpreters, main.waiters, other.interpreters, other.waiters) == ((0,), (), (1,), ())
    assert other.holder in [thread.tstate for thread in threads if thread.interpreter == 1]
    assert is_gil_word(interp, other.words[0][0])
    assert not set(main.words) & set(other.words)
