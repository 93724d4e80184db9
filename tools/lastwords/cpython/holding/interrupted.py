"""Frames in the middle of taking a lock, or of giving it back, while other code of Python runs further in.

A call of C that takes a lock calls no code of Python: what runs further in came in between, a signal handler or a
finalizer. It came when the call was over, or, from 3.2 on, while the call still waited: its frame does not tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.cpython.bytecode import Instruction, find_instruction, read_instructions
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.expressions import evaluate
from lastwords.cpython.holding.lock_calls import TAKING, find_lock_calls
from lastwords.cpython.holding.program_code import find_condition_code
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.slots import find_slot

ARGUMENTS = ("LOAD_CONST", "LOAD_SMALL_INT", "PUSH_NULL", "PRECALL", "KW_NAMES", "NOP")  # that call nothing


class Interrupted:
    """Finds the lock of such a frame, which is not the innermost of its thread."""

    def __init__(self, interp: Interpreter) -> None:
        self.interp = interp
        self._entering = find_condition_code(interp, "__enter__")
        self._leaving = find_condition_code(interp, "__exit__")

    def find(self, place: Place) -> int | None:
        """The object that it takes or has: a lock, or a Condition over it. None of other frames. Raises ReadError."""
        if place.code in self._entering | self._leaving:
            calls = [one.start for one in read_instructions(self.interp, place.code) if _is_call(one)]
            has_called = bool(calls) and place.lasti >= calls[-1]
            return find_slot(self.interp, place, "self") if has_called == (place.code in self._entering) else None
        for call in find_lock_calls(self.interp, place.code):
            if call.method in TAKING and call.receiver and call.start <= place.lasti < call.end:
                instructions = read_instructions(self.interp, place.code)
                is_there = _is_at_call(instructions, call.start, place.lasti)
                return evaluate(self.interp, place, call.receiver) if is_there else None
        return None


def _is_call(instruction: Instruction) -> bool:
    return instruction.name.startswith("CALL")


def _is_at_call(instructions: Sequence[Instruction], start: int, lasti: int) -> bool:
    """Whether the frame stands at the call itself of the method that is named at byte `start`."""
    first, last = (find_instruction(list(instructions), at) for at in (start, lasti))
    if first is None or last is None or not _is_call(instructions[last]):
        return False
    return all(one.name in ARGUMENTS for one in instructions[first + 1 : last])
