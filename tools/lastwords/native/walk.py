"""Walks a thread's C stack: from each frame's registers to those of its caller.

By unwind tables as long as there are some (eh_frame.py); where there are none, by what the stack looks like
(guess.py), and such frames say so. Each address is looked up once, whatever the number of threads that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec

from lastwords.capture.architectures import Architecture, Registers
from lastwords.capture.memory import Memory, Range, ReadError
from lastwords.native.eh_frame import EhFrame, open_eh_frame
from lastwords.native.eh_frame_bytes import MASK, CfiError
from lastwords.native.eh_frame_expression import ReadWord, evaluate
from lastwords.native.eh_frame_program import Row, Rule
from lastwords.native.guess import FindStart, Guesser
from lastwords.native.images import Images, NativeImage
from lastwords.native.unwind import Overlay

FRAMES_LIMIT = 20_000
PAIR_LIMIT = 512  # bytes between the registers that a frame saves, if they are to be read at once

Values = dict[int, int]  # registers by DWARF's numbers


class Step(msgspec.Struct):
    """One frame on the way: what it is, and its registers.

    is_exact: pc is the instruction that the thread is at, not the one behind a call
    """

    pc: int
    sp: int
    registers: Values
    is_exact: bool = False
    guessed: bool = False
    is_signal: bool = False

    @property
    def place(self) -> int:
        """An address that is surely in the function, and on the line, that the frame is at."""
        return self.pc if self.is_exact else self.pc - 1


class EndError(Exception):
    """The stack ends here, and it should not."""


class _Plain(msgspec.Struct, frozen=True):
    """A row as most are: the CFA from a register, registers saved side by side. `words`: register -> which word."""

    cfa_register: int
    cfa_offset: int
    low: int
    form: struct.Struct
    words: tuple[tuple[int, int], ...]
    return_word: int


class Walker:
    """Walks the stacks of one moment. `find_start`: where the function begins that covers an address, if known."""

    def __init__(self, memory: Memory, images: Images, architecture: Architecture, find_start: FindStart) -> None:
        self.images = images
        self.architecture = architecture
        self._memory = memory
        self._numbers = {name: number for number, name in enumerate(architecture.dwarf_registers)}
        self._sp = self._numbers[architecture.stack_pointer]
        self._kept = frozenset(self._numbers[name] for name in architecture.preserved)
        self._tables: dict[NativeImage, EhFrame] = {}
        self._rows: dict[int, Row | None] = {}
        self._plain: dict[int, _Plain] = {}
        self._problems: dict[int, str] = {}
        self._guesser = Guesser(images, architecture, find_start)

    def walk(self, registers: Registers, stop: int | None, overlay: Overlay) -> Iterator[Step]:
        """The frames from the innermost on, each once. Raises EndError, ReadError or CfiError where they end early."""
        memory = OverlaidMemory(self._memory, overlay) if overlay else self._memory
        step: Step | None = self._begin(registers)
        signals: set[tuple[int, int]] = set()  # only from their frames a stack may lead downwards
        for _ in range(FRAMES_LIMIT):
            if step is None or (stop is not None and step.sp >= stop):
                return
            yield step
            caller = self._find_caller(step, memory)
            if step.is_signal and (step.pc, step.sp) in signals:
                raise EndError(f"it comes back to the signal's frame at {step.sp:#x}")
            if step.is_signal:
                signals.add((step.pc, step.sp))
            step = caller
        raise EndError(f"it has more than {FRAMES_LIMIT} frames")

    def _begin(self, registers: Registers) -> Step:
        values = {number: registers[name] for name, number in self._numbers.items() if name in registers}
        pc, sp = (registers.get(one) for one in (self.architecture.program_counter, self.architecture.stack_pointer))
        if pc is None or sp is None:
            raise EndError("its registers are not known")
        return Step(pc, sp, values, is_exact=True)

    def _find_caller(self, step: Step, memory: Memory) -> Step | None:
        """The caller of a frame; None for the outermost one."""
        if step.guessed:
            return self._find_astray(step, memory)
        place = step.place
        plain = None if step.is_exact else self._plain.get(place)
        if plain is not None and plain.cfa_register in step.registers:
            caller = self._go_plain(step, plain, memory)
        else:
            row = self._find_row(place)
            if row is None:
                return self._guess(step, memory)
            caller = self._go(step, row, memory)
        if caller is not None and caller.sp <= step.sp and not step.is_signal:
            raise EndError(f"the frame at {step.pc:#x} has its caller's below it on the stack")
        return caller

    def _find_astray(self, step: Step, memory: Memory) -> Step | None:
        """The caller of a frame that was guessed, whose registers may be wrong: by its row only if that makes sense."""
        row = self._find_row(step.place)
        try:
            caller = self._go(step, row, memory) if row else None
        except (CfiError, ReadError):
            row = None
        if row is None:
            return self._guess(step, memory)
        if caller is None or step.is_signal:
            return caller
        if caller.sp > step.sp and self._guesser.may_be_returned_to(caller.pc):
            return caller
        return self._guess(step, memory)

    def _go_plain(self, step: Step, plain: _Plain, memory: Memory) -> Step | None:
        cfa = step.registers[plain.cfa_register] + plain.cfa_offset & MASK
        words = plain.form.unpack(memory.read(cfa + plain.low, plain.form.size))
        values = dict(step.registers)
        for register, word in plain.words:
            values[register] = words[word]
        values[self._sp] = cfa
        pc = words[plain.return_word]
        return Step(pc, cfa, values, guessed=step.guessed) if pc else None

    def _find_row(self, place: int) -> Row | None:
        if place not in self._rows:
            self._rows[place] = row = self._read_row(place)
            plain = self._simplify(row) if row else None
            if plain:
                self._plain[place] = plain
        return self._rows[place]

    def _read_row(self, place: int) -> Row | None:
        image = self.images.find(place)
        if image is None or image.bias is None:
            return None
        try:
            if image not in self._tables:
                self._tables[image] = open_eh_frame(image)
            return self._tables[image].find_row(place - image.bias)
        except (CfiError, struct.error) as error:
            self._problems[place] = str(error)
            return None

    def _simplify(self, row: Row) -> _Plain | None:
        """The row as a plain one, if it is one: for all frames but the innermost, which has more registers."""
        saved = {register: rule.number for register, rule in row.rules.items() if rule.kind == "offset"}
        if row.cfa_code or row.is_signal or row.return_register not in saved or len(saved) != len(row.rules):
            return None
        low, high = min(saved.values()), max(saved.values())
        if high - low > PAIR_LIMIT or any((number - low) % 8 for number in saved.values()):
            return None
        words = {register: (number - low) // 8 for register, number in saved.items()}
        back = words.pop(row.return_register)
        form = struct.Struct(f"<{(high - low) // 8 + 1}Q")
        return _Plain(row.cfa_register, row.cfa_offset, low, form, tuple(words.items()), back)

    def _go(self, step: Step, row: Row, memory: Memory) -> Step | None:
        """The caller by a row of any kind. Raises CfiError, ReadError."""
        step.is_signal = row.is_signal
        values = {**step.registers, row.return_register: step.pc}
        cfa = self._cfa(row, values, memory)
        caller = dict(values) if row.is_signal else {one: values[one] for one in self._kept if one in values}
        caller.pop(row.return_register, None)
        caller[self._sp] = cfa
        for register, rule in row.rules.items():
            value = _restore(rule, register, cfa, values, memory)
            if value is None:
                caller.pop(register, None)
            else:
                caller[register] = value
        pc = caller.pop(row.return_register, 0)
        return Step(pc, caller[self._sp], caller, is_exact=row.is_signal, guessed=step.guessed) if pc else None

    def _cfa(self, row: Row, values: Values, memory: Memory) -> int:
        if row.cfa_code:
            return evaluate(row.cfa_code, values, _word_reader(memory))
        if row.cfa_register not in values:
            raise CfiError(f"register {self.architecture.dwarf_registers[row.cfa_register]} is not known there")
        return values[row.cfa_register] + row.cfa_offset & MASK

    def _guess(self, step: Step, memory: Memory) -> Step | None:
        named = {self.architecture.dwarf_registers[number]: value for number, value in step.registers.items()}
        found = self._guesser.find_caller(step.pc, step.sp, named, memory)
        if found is None:
            why = self._problems.get(step.place, "there is no unwind table for it")
            raise EndError(f"the caller of {step.pc:#x} is not known: {why}")
        if not found.pc:
            return None
        step.is_signal = found.is_signal
        values = {self._numbers[name]: value for name, value in found.registers.items() if name in self._numbers}
        guessed = step.guessed or not found.is_signal
        return Step(found.pc, found.sp, values, is_exact=found.is_signal, guessed=guessed)


def _restore(rule: Rule, register: int, cfa: int, values: Values, memory: Memory) -> int | None:
    """The caller's value of a register; None where it has not been kept."""
    match rule.kind:
        case "offset":
            return _read_word(memory, cfa + rule.number & MASK)
        case "val_offset":
            return cfa + rule.number & MASK
        case "register":
            return values.get(rule.number)
        case "same":
            return values.get(register)
        case "undefined":
            return None
    value = evaluate(rule.code, values, _word_reader(memory), cfa)
    return _read_word(memory, value) if rule.kind == "expression" else value


def _read_word(memory: Memory, address: int, size: int = 8) -> int:
    return int.from_bytes(memory.read(address, size), "little")


def _word_reader(memory: Memory) -> ReadWord:
    return lambda address, size: _read_word(memory, address, size)


class OverlaidMemory:
    """A memory with other bytes laid over it: what is in several pieces counts from the first of them that has it."""

    def __init__(self, memory: Memory, overlay: Overlay) -> None:
        self._memory = memory
        self._pieces = [(address, address + len(data), data) for address, data in overlay]

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        end = address + size
        for start, stop, data in self._pieces:
            if start <= address and end <= stop:
                return data[address - start : end - start]
            if start < end and address < stop:
                return self._mix(address, size)
        return self._memory.read(address, size)

    def _mix(self, address: int, size: int) -> bytes:
        """Bytes of which some are in a piece: one by one, which is rare."""
        return b"".join(self.read(one, 1) for one in range(address, address + size))

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        found: list[bytes | None] = []
        for address, size in ranges:
            try:
                found.append(self.read(address, size))
            except ReadError:
                found.append(None)
        return found
