"""What the instructions of each release are called: written by tools/make_opcodes.py from the interpreters themselves.

Only the instruction's own meaning is here; what the interpreter writes over it when it runs often (PEP 659) has the
name of what it stands for.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

TABLES = Path(__file__).parent


class Opcodes(msgspec.Struct, frozen=True):
    """The instructions of one release; `exact` is the one that was asked.

    units: an instruction is as long as this (2 bytes), or, where it is 1, one or three bytes (2.7)
    have_argument: the first opcode that has an argument
    names: by opcode; None for what is no instruction, or does not say which one it stands for
    caches: how many 2-byte units behind an instruction are not code
    name_shifts: bits of an argument below the index of the name that it is
    """

    release: str
    exact: str
    units: int
    have_argument: int
    names: list[str | None]
    caches: dict[str, int]
    name_shifts: dict[str, int]


@cache
def load_opcodes(release: str) -> Opcodes:
    """The instructions of a release ("3.13") that has a shipped layout."""
    return msgspec.json.decode((TABLES / f"{release}.json").read_bytes(), type=Opcodes)
