"""Short expressions of a function's code, as a name and its attributes: `lock`, `self._lock`, `state.locks.main`.

Which object one means is read from a frame that stands in the code, or, for a global, from its module: as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.bytecode import Instruction, find_instruction, opcodes_of, read_instructions
from lastwords.cpython.dicts import find_item
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import read_attribute
from lastwords.cpython.slots import find_slot, read_slot_names
from lastwords.cpython.structs import DICT, Structs
from lastwords.cpython.text import read_name

NAME_LIMIT = 1 << 10  # characters
ATTRIBUTES_LIMIT = 8
GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
LOCALS = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
PAIRS = ("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "STORE_FAST_LOAD_FAST")
CELLS = ("LOAD_DEREF",)
PAIR_MASK = 15  # of the second variable in the argument of an instruction for two


class Expression(NamedTuple):
    """A name, global or local, and the attributes behind it."""

    name: str
    is_global: bool
    attributes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.name, *self.attributes))


def find_expression(structs: Structs, code: int, end: int) -> Expression | None:
    """The expression that ends before the instruction at byte `end`; None for a longer one. Raises ReadError."""
    instructions = read_instructions(structs, code)
    at = find_instruction(instructions, end) or 0
    return expression_before(structs, code, instructions[max(at - ATTRIBUTES_LIMIT, 0) : at])


def expression_before(structs: Structs, code: int, instructions: Sequence[Instruction]) -> Expression | None:
    """The expression whose value the last of these instructions leaves. Raises ReadError."""
    attributes: list[str] = []
    for one in reversed(instructions):
        if one.name in ATTRIBUTES:
            attributes.append(name_of(structs, code, one))
            continue
        is_global = one.name in GLOBALS
        name = name_of(structs, code, one) if is_global else _local_name(structs, code, one)
        return Expression(name, is_global, tuple(reversed(attributes))) if name is not None else None
    return None


def read_names(structs: Structs, code: int) -> list[int]:
    """The addresses of the names that the code uses for globals and attributes. Raises ReadError."""
    return read_tuple(structs, structs.number(code, "PyCodeObject", "co_names"))


def name_of(structs: Structs, code: int, instruction: Instruction) -> str:
    """The global or attribute that an instruction names. Raises ReadError."""
    names = read_names(structs, code)
    index = instruction.argument >> opcodes_of(structs).name_shifts.get(instruction.name, 0)
    if index >= len(names):
        raise ReadError(f"an instruction of the code object at {code:#x} has name {index} of {len(names)}")
    return read_name(structs, names[index], NAME_LIMIT)


def _local_name(structs: Structs, code: int, instruction: Instruction) -> str | None:
    index = instruction.argument
    if instruction.name in PAIRS:
        index &= PAIR_MASK
    elif instruction.name in CELLS and structs.has("PyCodeObject", "co_cellvars"):
        index += structs.number(code, "PyCodeObject", "co_nlocals")  # to 3.10 cells are counted by themselves
    elif instruction.name not in LOCALS + CELLS:
        return None
    names = read_slot_names(structs, code)
    return names[index].text if index < len(names) else None


def evaluate(interp: Interpreter, place: Place, expression: Expression) -> int | None:
    """The object that the expression means in a frame now; None where there is none. Raises ReadError."""
    if expression.is_global:
        found = _find_name(interp, place, expression.name)
    else:
        found = find_slot(interp, place, expression.name)
    return follow_attributes(interp, found, expression)


def evaluate_global(interp: Interpreter, variables: int, expression: Expression) -> int | None:
    """The object that an expression with a global's name means in a module now. Raises ReadError."""
    return follow_attributes(interp, find_item(interp, variables, expression.name), expression)


def follow_attributes(interp: Interpreter, found: int | None, expression: Expression) -> int | None:
    """The attribute of an attribute of ... an object; instances' and modules' own alone. Raises ReadError."""
    for name in expression.attributes:
        found = read_attribute(interp, found, name) if found else None
    return found


def read_globals(structs: Structs, place: Place) -> int:
    """The `__dict__` of the module that a frame's code is of. Raises ReadError."""
    return structs.number(place.frame, _frame_struct(structs), "f_globals")


def _find_name(interp: Interpreter, place: Place, name: str) -> int | None:
    own = interp.number(place.frame, _frame_struct(interp), "f_locals")
    if own and interp.type_flags(own) & DICT and (found := find_item(interp, own, name)):
        return found
    return find_item(interp, read_globals(interp, place), name)


def _frame_struct(structs: Structs) -> str:
    return "_PyInterpreterFrame" if structs.has("_PyInterpreterFrame") else "PyFrameObject"
