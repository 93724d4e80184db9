"""What a CIE and an FDE say of one instruction: where its caller's registers are (DWARF 5, 6.4)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Literal

import msgspec

from lastwords.native.eh_frame_bytes import CfiError, Cursor

OPERATIONS_LIMIT = 100_000
STATES_LIMIT = 1000
REGISTERS_LIMIT = 128
Kind = Literal["offset", "val_offset", "register", "expression", "val_expression", "undefined", "same"]


class Rule(msgspec.Struct, frozen=True):
    """How a register of the caller is found.

    offset, val_offset: saved at, or equal to, CFA + `number`; register: in the register `number`
    expression, val_expression: `code` yields where it is saved, or its value
    """

    kind: Kind
    number: int = 0
    code: bytes = b""


class Row(msgspec.Struct, frozen=True):
    """Rules for the code at one address. The CFA is a register plus an offset, or what `cfa_code` yields."""

    cfa_register: int
    cfa_offset: int
    cfa_code: bytes
    rules: dict[int, Rule]
    return_register: int
    is_signal: bool = False


class Terms(msgspec.Struct, frozen=True):
    """What a CIE lays down for its FDEs: factors, and how an address is read in them."""

    code_factor: int
    data_factor: int
    read_address: Callable[[Cursor], int]


class CfaProgram:
    """Carries out the operations of a CIE, and then of an FDE, up to an address."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.cfa: tuple[int, int, bytes] = (-1, 0, b"")
        self.rules: dict[int, Rule] = {}
        self.initial: dict[int, Rule] = {}
        self.place = 0
        self._states: list[tuple[tuple[int, int, bytes], dict[int, Rule]]] = []

    def run(self, code: Cursor, start: int, wanted: int) -> None:
        """Until the address `wanted` would be passed; `start` is the first that the operations are about."""
        self.place = start
        for _ in range(OPERATIONS_LIMIT):
            if code.at >= len(code.data):
                return
            self._step(code, code.byte())
            if self.place > wanted:
                return
        raise CfiError("the operations of an unwind table do not end")

    def _step(self, code: Cursor, op: int) -> None:
        low = op & 0x3F
        if op >= 0xC0:
            self.restore(low)
        elif op >= 0x80:
            self.set_rule(low, "offset", code.uleb() * self.terms.data_factor)
        elif op >= 0x40:
            self.place += low * self.terms.code_factor
        elif op not in OPERATIONS:
            raise CfiError(f"an unwind table has an operation ({op:#x}) that is not known")
        else:
            OPERATIONS[op](self, code)

    def set_rule(self, register: int, kind: Kind, number: int = 0, code: bytes = b"") -> None:
        """The rule of one register."""
        if register >= REGISTERS_LIMIT:
            raise CfiError(f"an unwind table is about a register {register}")
        self.rules[register] = Rule(kind, number, code)

    def restore(self, register: int) -> None:
        """DW_CFA_restore: the rule that the CIE has."""
        if register in self.initial:
            self.rules[register] = self.initial[register]
        else:
            self.rules.pop(register, None)

    def advance(self, code: Cursor, form: struct.Struct) -> None:
        """DW_CFA_advance_loc1, 2, 4."""
        self.place += code.number(form) * self.terms.code_factor

    def set_place(self, code: Cursor) -> None:
        """DW_CFA_set_loc."""
        self.place = self.terms.read_address(code)

    def define_cfa(self, register: int, offset: int) -> None:
        """DW_CFA_def_cfa, DW_CFA_def_cfa_sf."""
        self.cfa = (register, offset, b"")

    def change_cfa(self, register: int | None, offset: int | None) -> None:
        """DW_CFA_def_cfa_register, DW_CFA_def_cfa_offset."""
        old = self.cfa
        if old[2] or old[0] < 0:
            raise CfiError("an unwind table changes a CFA that is not a register and an offset")
        self.cfa = (old[0] if register is None else register, old[1] if offset is None else offset, b"")

    def push_state(self) -> None:
        """DW_CFA_remember_state."""
        if len(self._states) >= STATES_LIMIT:
            raise CfiError("an unwind table remembers without end")
        self._states.append((self.cfa, dict(self.rules)))

    def pop_state(self) -> None:
        """DW_CFA_restore_state."""
        if not self._states:
            raise CfiError("an unwind table restores what it has not remembered")
        self.cfa, self.rules = self._states.pop()

    def row(self, return_register: int, is_signal: bool) -> Row:
        """What was found. Raises CfiError where there is no CFA."""
        register, offset, code = self.cfa
        if register < 0 and not code:
            raise CfiError("an unwind table does not say where the frame is")
        return Row(register, offset, code, dict(self.rules), return_register, is_signal)


Operation = Callable[[CfaProgram, Cursor], None]


def _block(code: Cursor) -> bytes:
    return code.take(code.uleb())


def _ruled(kind: Kind, *, is_signed: bool = False) -> Operation:
    """A register, and a number that counts in the data factor."""

    def carry_out(program: CfaProgram, code: Cursor) -> None:
        register = code.uleb()
        number = code.sleb() if is_signed else code.uleb()
        program.set_rule(register, kind, number * program.terms.data_factor)

    return carry_out


def _expressed(kind: Kind) -> Operation:
    def carry_out(program: CfaProgram, code: Cursor) -> None:
        register = code.uleb()
        program.set_rule(register, kind, 0, _block(code))

    return carry_out


def _advancing(form: str) -> Operation:
    size = struct.Struct(form)
    return lambda program, code: program.advance(code, size)


def _ignore(_: int) -> None:
    pass


def _set_cfa_code(program: CfaProgram, code: Cursor) -> None:
    program.cfa = (-1, 0, _block(code))


OPERATIONS: dict[int, Operation] = {
    0x00: lambda program, code: None,  # nop
    0x01: lambda program, code: program.set_place(code),
    0x02: _advancing("<B"),
    0x03: _advancing("<H"),
    0x04: _advancing("<I"),
    0x05: _ruled("offset"),  # offset_extended
    0x06: lambda program, code: program.restore(code.uleb()),  # restore_extended
    0x07: lambda program, code: program.set_rule(code.uleb(), "undefined"),
    0x08: lambda program, code: program.set_rule(code.uleb(), "same"),
    0x09: lambda program, code: program.set_rule(code.uleb(), "register", code.uleb()),
    0x0A: lambda program, code: program.push_state(),
    0x0B: lambda program, code: program.pop_state(),
    0x0C: lambda program, code: program.define_cfa(code.uleb(), code.uleb()),
    0x0D: lambda program, code: program.change_cfa(code.uleb(), None),
    0x0E: lambda program, code: program.change_cfa(None, code.uleb()),
    0x0F: _set_cfa_code,  # def_cfa_expression
    0x10: _expressed("expression"),
    0x11: _ruled("offset", is_signed=True),  # offset_extended_sf
    0x12: lambda program, code: program.define_cfa(code.uleb(), code.sleb() * program.terms.data_factor),
    0x13: lambda program, code: program.change_cfa(None, code.sleb() * program.terms.data_factor),
    0x14: _ruled("val_offset"),
    0x15: _ruled("val_offset", is_signed=True),
    0x16: _expressed("val_expression"),
    0x2E: lambda program, code: _ignore(code.uleb()),  # GNU_args_size
}
