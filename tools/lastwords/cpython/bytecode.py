"""Instructions of a code object, and which of them are inside which `with` and `try` blocks.

To 3.10 the instructions are a string of bytes, `co_code`, and a frame keeps the blocks that it is in. From 3.11 on
they are the end of the code object itself, where the interpreter writes over those that run often (PEP 659), and
`co_exceptiontable` says which instructions are in which block (Objects/exception_handling_notes.txt).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar, cast

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.opcodes import Opcodes, load_opcodes
from lastwords.cpython.structs import CODE_UNIT, Structs
from lastwords.cpython.text import read_bytes_prefix, read_length

CODE_LIMIT = 1 << 18  # bytes of one function: generated ones are the longest
NESTING_LIMIT = 100  # the compiler allows 20 blocks, with three handlers each at most
TABLE_LIMIT = 1 << 18
STARTS, CONTINUES, VALUE = 0x80, 0x40, 0x3F  # of a byte of an exception table: six bits of a number each
ENTRY = 4  # numbers


Of = TypeVar("Of")


class Instruction(msgspec.Struct, frozen=True):
    """From byte `start` up to `end`, with what is cached behind it. `name` is of what the compiler wrote."""

    start: int
    end: int
    name: str
    argument: int


class Handler(msgspec.Struct, frozen=True):
    """An exception in bytes [start, end) leaves `depth` values on the stack and goes on at byte `target`."""

    start: int
    end: int
    target: int
    depth: int


def opcodes_of(structs: Structs) -> Opcodes:
    """What this release calls its instructions."""
    return load_opcodes(structs.layout.release)


def read_instructions(structs: Structs, code: int) -> list[Instruction]:
    """All instructions of a code object, read once in a moment.

    Raises ReadError, also where a debugger or a profiler has written over one so that it does not say what it was.
    """
    return once(structs, code, "instructions", lambda: list(decode(opcodes_of(structs), _read_code(structs, code))))


def once(structs: Structs, code: int, what: str, read: Callable[[], Of]) -> Of:
    """What `read` returns for a code object, read once in a moment."""
    if (what, code) not in structs.bytecode:
        structs.bytecode[what, code] = read()
    return cast(Of, structs.bytecode[what, code])


def _read_code(structs: Structs, code: int) -> bytes:
    if structs.has("PyCodeObject", "co_code_adaptive"):
        size = read_length(structs, code) * CODE_UNIT
        start = structs.at(code, "PyCodeObject", "co_code_adaptive")
        data = structs.memory.read(start, size) if size <= CODE_LIMIT else None
    else:
        data, is_whole = read_bytes_prefix(structs, structs.number(code, "PyCodeObject", "co_code"), CODE_LIMIT)
        data = data if is_whole else None
    if data is None:
        raise ReadError(f"the code object at {code:#x} has more than {CODE_LIMIT} bytes of code")
    return data


def read_name_at(structs: Structs, code: int, at: int) -> str | None:
    """The instruction at byte `at`, from 3.11 on; None where a debugger has written over it. Raises ReadError."""
    start = structs.at(code, "PyCodeObject", "co_code_adaptive")
    return opcodes_of(structs).names[structs.memory.read(start + at, 1)[0]]


def decode(opcodes: Opcodes, data: bytes) -> Iterator[Instruction]:
    """The instructions in `data`; an EXTENDED_ARG is part of the one behind it. Raises ReadError."""
    at = start = extended = 0
    while at < len(data):
        name = opcodes.names[data[at]]
        if name is None:
            raise ReadError(f"the code has {data[at]} at byte {at}, which is no instruction of {opcodes.release}")
        size, argument = _read_argument(opcodes, data, at)
        argument |= extended
        at += size
        if name == "EXTENDED_ARG":
            extended = argument << (8 if opcodes.units == CODE_UNIT else 16)
            continue
        at += opcodes.caches.get(name, 0) * CODE_UNIT
        yield Instruction(start, at, name, argument)
        start, extended = at, 0


def _read_argument(opcodes: Opcodes, data: bytes, at: int) -> tuple[int, int]:
    """Bytes of the instruction at `at`, and its argument."""
    if opcodes.units == CODE_UNIT:
        return CODE_UNIT, int.from_bytes(data[at + 1 : at + 2], "little")
    if data[at] < opcodes.have_argument:
        return 1, 0
    return 3, int.from_bytes(data[at + 1 : at + 3], "little")


def find_instruction(instructions: list[Instruction], at: int) -> int | None:
    """The place in the list of the instruction that byte `at` is part of."""
    low, high = 0, len(instructions)
    while low < high:
        middle = (low + high) // 2
        if instructions[middle].end <= at:
            low = middle + 1
        else:
            high = middle
    return low if low < len(instructions) and instructions[low].start <= at else None


def read_handlers(structs: Structs, code: int) -> list[Handler]:
    """The exception table of a code object, from 3.11 on. Raises ReadError."""
    return once(structs, code, "handlers", lambda: _read_handlers(structs, code))


def _read_handlers(structs: Structs, code: int) -> list[Handler]:
    table, is_whole = read_bytes_prefix(structs, structs.number(code, "PyCodeObject", "co_exceptiontable"), TABLE_LIMIT)
    if not is_whole:
        raise ReadError(f"the exception table of the code object at {code:#x} is longer than {TABLE_LIMIT} bytes")
    return list(decode_handlers(table))


def decode_handlers(table: bytes) -> Iterator[Handler]:
    """The entries of an exception table: start, length and target count code units, depth has a flag below it."""
    numbers: list[int] = []
    is_open = False
    for byte in table:
        if byte & STARTS:
            numbers, is_open = [], False
        if not is_open:
            numbers.append(0)
        numbers[-1] = (numbers[-1] << 6 | byte & VALUE) & 0xFFFF_FFFF
        is_open = bool(byte & CONTINUES)
        if len(numbers) == ENTRY and not is_open:
            start, length, target, depth = numbers
            yield Handler(start * CODE_UNIT, (start + length) * CODE_UNIT, target * CODE_UNIT, depth >> 1)
            numbers = []


def find_handler(handlers: list[Handler], at: int) -> Handler | None:
    """The innermost block that byte `at` is in."""
    return next((one for one in handlers if one.start <= at < one.end), None)


def find_enclosing(handlers: list[Handler], at: int) -> Iterator[Handler]:
    """The blocks that byte `at` is in, the innermost first: a handler is itself inside the blocks around it."""
    seen: set[int] = set()
    found = find_handler(handlers, at)
    while found is not None and found.target not in seen and len(seen) < NESTING_LIMIT:
        seen.add(found.target)
        yield found
        found = find_handler(handlers, found.target)
