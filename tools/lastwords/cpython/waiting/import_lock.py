"""The one lock that all imports took in 2.7, and that those after it take for moments (Python/import.c)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.bytecode import read_instructions
from lastwords.cpython.classes import find_module_globals
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.text import read_text

NAME_LIMIT = 1024
NOBODY = 0xFFFF_FFFF_FFFF_FFFF  # import_lock_thread while nobody has the lock
CODE_SIZE = 64  # bytes of a function that are looked at
LOAD_ARGUMENT, LOAD = b"\x48\x8b\x3d", b"\x48\x8b\x05"  # mov rdi, [rip+x]; mov rax, [rip+x]


class ImportLock(msgspec.Struct, frozen=True):
    """The lock's own word, and the ident of the thread that has it; None where nobody has, or nothing tells."""

    word: int
    owner: int | None


def read_import_lock(interp: Interpreter) -> ImportLock | None:
    """None where the release has no such lock, or nothing tells where it is. Raises ReadError."""
    lock, thread = interp.image.address("import_lock"), interp.image.address("import_lock_thread")
    if lock is None:
        lock, thread = _decode(interp)
    word = interp.pointer(lock) if lock is not None else 0
    if not word:
        return None
    owner = interp.pointer(thread) if thread is not None else NOBODY
    return ImportLock(word, None if owner == NOBODY else owner)


def _decode(interp: Interpreter) -> tuple[int | None, int | None]:
    """`import_lock` and `import_lock_thread` of a stripped file: the variables that _PyImport_AcquireLock (x86-64)
    loads first. What it loads is believed only if a thread sleeps on it.
    """
    function = interp.image.address("_PyImport_AcquireLock")
    if function is None:
        return None, None
    code = interp.memory.read(function, CODE_SIZE)
    lock = _find_operand(code, LOAD_ARGUMENT, 0)
    thread = _find_operand(code, LOAD, lock[0]) if lock else None
    return (function + lock[1] if lock else None), (function + thread[1] if thread else None)


def _find_operand(code: bytes, opcode: bytes, start: int) -> tuple[int, int] | None:
    """(end of the instruction, the address that it loads), both from the beginning of the code."""
    at = code.find(opcode, start)
    end = at + len(opcode) + 4
    if at < 0 or end > len(code):
        return None
    return end, end + int.from_bytes(code[end - 4 : end], "little", signed=True)


def is_for_all(interp: Interpreter) -> bool:
    """Whether every import takes this lock: modules have locks of their own since imports are written in Python."""
    return not any(find_module_globals(interp, "_frozen_importlib"))


def find_import(interp: Interpreter, places: Sequence[Place]) -> str | None:
    """The module that the innermost frame's `import` statement names, if it is at one; None if not."""
    try:
        for one in read_instructions(interp, places[0].code) if places else ():
            if one.start <= places[0].lasti < one.end and one.name == "IMPORT_NAME":
                names = read_tuple(interp, interp.number(places[0].code, "PyCodeObject", "co_names"))
                return read_text(interp, names[one.argument], NAME_LIMIT)
    except (ReadError, IndexError):
        pass
    return None
