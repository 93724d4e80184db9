"""The one lock that all imports took in 2.7, and that those after it take for moments (Python/import.c)."""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import read_tuple
from lastwords.cpython.bytecode import read_instructions
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.text import read_text

NAME_LIMIT = 1024
NOBODY = 0xFFFF_FFFF_FFFF_FFFF  # import_lock_thread while nobody has the lock


def is_import_lock(interp: Interpreter, word: int) -> bool | None:
    """Whether those who sleep on `word` wait for the import lock; None where the file has no symbol that tells.

    Raises ReadError.
    """
    variable = interp.image.address("import_lock")
    return None if variable is None else bool(word) and interp.pointer(variable) == word


def find_owner(interp: Interpreter) -> int | None:
    """The ident of the thread that has the import lock; None where nobody has it, or no symbol tells."""
    variable = interp.image.address("import_lock_thread")
    owner = interp.pointer(variable) if variable is not None else NOBODY
    return None if owner == NOBODY else owner


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
