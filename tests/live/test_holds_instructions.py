"""Instructions, exception tables and evaluation stacks of a process, beside what its own `dis` says of them."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import astuple

from harness import Target
from holds_ledger import wait_until_all_sleep
from interpreters import CHECKOUT
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.cpython.bytecode import read_handlers, read_instructions
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.generators import find_generator_place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.opcodes import load_opcodes
from lastwords.cpython.threads import read_threads
from lastwords.cpython.value_stack import read_value_stack, read_whole_frame

Start = Callable[..., Target]
Facts = dict[str, Any]


@pytest.fixture
def standing(interpreter: Python, start_target: Start) -> tuple[Interpreter, Facts]:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    target = start_target(interpreter, "instructions_run_often.py")
    facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    wait_until_all_sleep(target.pid)
    return cpython.open_process(target.pid), facts


def test_code_and_stacks_are_what_dis_says(standing: tuple[Interpreter, Facts]) -> None:
    interp, facts = standing
    check_code(interp, facts)
    check_stacks(interp, facts)


def check_code(interp: Interpreter, facts: Facts) -> None:
    assert len(facts["codes"]) == 5
    for code, instructions, handlers in facts["codes"]:
        found = read_instructions(interp, code)
        assert [[one.start, one.name] for one in found] == [one[:2] for one in instructions]
        pairs = zip(found, instructions, strict=True)
        assert all(theirs in (None, ours.argument) for ours, (_, _, theirs) in pairs)  # 3.10 leaves rests in the others
        assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]
        if interp.has("PyCodeObject", "co_exceptiontable"):
            assert [list(astuple(one)) for one in read_handlers(interp, code)] == handlers


def check_stacks(interp: Interpreter, facts: Facts) -> None:
    """What is written down is whole; else nothing is said to be in use that is not."""
    places = read_threads(interp, [])[0].places
    caller = places[1]
    is_written = not interp.has("PyFrameObject", "f_stacktop") and not interp.has("PyFrameObject", "f_stackdepth")
    assert is_within(facts["objects"], read_value_stack(interp, caller)) == is_written
    assert is_within(facts["objects"], read_whole_frame(interp, caller))
    suspended = find_generator_place(interp, facts["generator"])
    assert isinstance(suspended, Place)
    assert is_within(facts["objects"], read_value_stack(interp, suspended))
    assert find_generator_place(interp, facts["objects"][0]) is None


def is_within(wanted: list[int], stack: list[int]) -> bool:
    """Whether the objects lie there, one upon the other."""
    return any(stack[at : at + len(wanted)] == wanted for at in range(len(stack)))


def test_the_shipped_instructions_are_those_of_the_interpreter(interpreter: Python) -> None:
    script = runpy.run_path(str(CHECKOUT / "tools" / "make_opcodes.py"))
    found = script["read_opcodes"](interpreter.path)
    shipped = load_opcodes(interpreter.minor)
    for name in ("release", "units", "have_argument", "names", "caches", "name_shifts"):
        assert found[name] == getattr(shipped, name), name
