"""Short expressions of a function's code, as a name with attributes and items: `lock`, `self._lock`, `locks[key].main`.

Which object one means is read from a frame that stands in the code, or, for a global, from its module: as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.bytecode import Instruction, find_instruction, opcodes_of, read_instructions
from lastwords.cpython.dicts import find_item, read_items
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import read_attribute
from lastwords.cpython.numbers import read_int
from lastwords.cpython.slots import find_slot, read_slot_names
from lastwords.cpython.structs import BYTES, DICT, INT, LIST, LONG, TUPLE, UNICODE, Structs
from lastwords.cpython.text import read_length, read_name

NAME_LIMIT = 1 << 10  # characters
ATTRIBUTES_LIMIT = 8
ITEMS_LIMIT = 10_000  # of a list or dict
GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
LOCALS = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
PAIRS = ("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "STORE_FAST_LOAD_FAST")
CELLS = ("LOAD_DEREF",)
PAIR_MASK = 15  # of the second variable in the argument of an instruction for two
PAIR_SHIFT = 4  # to the first
CONSTANTS, SMALL_INTS = ("LOAD_CONST",), ("LOAD_SMALL_INT",)
SUBSCRIPTS, OPERATION, NB_SUBSCR = ("BINARY_SUBSCR",), "BINARY_OP", 26  # from 3.14 on it is one of the operations


class Constant(msgspec.Struct, frozen=True):
    """A constant by which an item is named: the object at `address`, or, without one, a small number."""

    address: int
    number: int | None = None


Key: TypeAlias = "Expression | Constant"


class Expression(msgspec.Struct, frozen=True):
    """A name, global or local, and the attributes and items behind it."""

    name: str
    is_global: bool
    attributes: tuple[str | Key, ...] = ()

    def __str__(self) -> str:
        return self.name + "".join(_format_part(one) for one in self.attributes)


def _format_part(part: str | Key) -> str:
    if isinstance(part, str):
        return f".{part}"
    return f"[{part if isinstance(part, Expression) else '...' if part.number is None else part.number}]"


def find_expression(structs: Structs, code: int, end: int) -> Expression | None:
    """The expression that ends before the instruction at byte `end`; None for a longer one. Raises ReadError."""
    instructions = read_instructions(structs, code)
    at = find_instruction(instructions, end) or 0
    return expression_before(structs, code, instructions[max(at - ATTRIBUTES_LIMIT, 0) : at])


def expression_before(structs: Structs, code: int, instructions: Sequence[Instruction]) -> Expression | None:
    """The expression whose value the last of these instructions leaves. Raises ReadError."""
    return _parse(structs, code, list(instructions), ATTRIBUTES_LIMIT)


def _parse(structs: Structs, code: int, left: list[Instruction], limit: int) -> Expression | None:
    """Takes from `left`, the last first, what the expression is made of."""
    attributes: list[str | Key] = []
    while left and limit:
        one = left.pop()
        if one.name in ATTRIBUTES:
            attributes.append(name_of(structs, code, one))
        elif _is_subscript(one):
            key = _parse_key(structs, code, left, limit - 1)
            if key is None:
                return None
            attributes.append(key)
        else:
            is_global = one.name in GLOBALS
            name = name_of(structs, code, one) if is_global else _local_name(structs, code, one)
            return Expression(name, is_global, tuple(reversed(attributes))) if name is not None else None
    return None


def _is_subscript(instruction: Instruction) -> bool:
    return instruction.name in SUBSCRIPTS or (instruction.name == OPERATION and instruction.argument == NB_SUBSCR)


def _parse_key(structs: Structs, code: int, left: list[Instruction], limit: int) -> Key | None:
    """What is in the brackets. Of an instruction for two variables the first is left: the one before them."""
    last = left[-1] if left else None
    if last is not None and last.name in CONSTANTS:
        constants = read_tuple(structs, structs.number(code, "PyCodeObject", "co_consts"))
        left.pop()
        return Constant(constants[last.argument]) if last.argument < len(constants) else None
    if last is not None and last.name in SMALL_INTS:
        return Constant(0, left.pop().argument)
    found = _parse(structs, code, left, limit)
    if found is not None and last is not None and last.name in PAIRS and "STORE" not in last.name:
        left.append(replace(last, name=LOCALS[0], argument=last.argument >> PAIR_SHIFT))
    return found


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
    return follow_attributes(interp, found, expression, place)


def evaluate_global(interp: Interpreter, variables: int, expression: Expression) -> int | None:
    """The object that an expression with a global's name means in a module now. Raises ReadError.

    None, too, where it names an item by a variable, which only a frame has.
    """
    return follow_attributes(interp, find_item(interp, variables, expression.name), expression)


def follow_attributes(
    interp: Interpreter, found: int | None, expression: Expression, place: Place | None = None
) -> int | None:
    """The attribute, or item, of an attribute of ... an object; instances' and modules' own alone. Raises ReadError."""
    for part in expression.attributes:
        if not found:
            return None
        found = read_attribute(interp, found, part) if isinstance(part, str) else _read_item(interp, found, part, place)
    return found


def _read_item(interp: Interpreter, container: int, key: Key, place: Place | None) -> int | None:
    """The item of a list, tuple or dict; None of anything else, and where it cannot be told."""
    if isinstance(key, Expression):
        found = evaluate(interp, place, key) if place is not None else None
        key = Constant(found) if found else Constant(0)
    flags = interp.type_flags(container)
    number = key.number if key.number is not None else _read_number(interp, key.address)
    if flags & (LIST | TUPLE):
        items = _read_items(interp, container, is_list=bool(flags & LIST))
        return items[number] if number is not None and -len(items) <= number < len(items) else None
    if flags & DICT and key.address and interp.type_flags(key.address) & (UNICODE | _native_text(interp)):
        return find_item(interp, container, read_name(interp, key.address, NAME_LIMIT))
    if flags & DICT:
        return _find_by_key(interp, container, key.address, number)
    return None


def _native_text(interp: Interpreter) -> int:
    """In 2.7 names are bytes."""
    return BYTES if interp.layout.formats.text == "bytes" else 0


def _read_number(interp: Interpreter, address: int) -> int | None:
    return read_int(interp, address) if address and interp.type_flags(address) & (INT | LONG) else None


def _read_items(interp: Interpreter, container: int, *, is_list: bool) -> list[int]:
    if not is_list:
        return read_tuple(interp, container, ITEMS_LIMIT)
    count = min(read_length(interp, container), ITEMS_LIMIT)
    return interp.pointers(interp.number(container, "PyListObject", "ob_item"), count) if count else []


def _find_by_key(interp: Interpreter, container: int, address: int, number: int | None) -> int | None:
    """By the very object that is the key, or by a number that is equal to it."""
    for key, value in read_items(interp, container, ITEMS_LIMIT):
        if (address and key == address) or (number is not None and _read_number(interp, key) == number):
            return value
    return None


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
