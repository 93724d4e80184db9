"""The arguments of a process from the stack in its core: the kernel itself notes 80 bytes of them only (elf_prpsinfo).

What the kernel puts on the first stack (fs/binfmt_elf.c, create_elf_tables): argc, the arguments, 0, the environment,
0, the auxiliary vector, and above these the strings, the program's name last.
"""

from __future__ import annotations

import os
import struct

from lastwords.capture.core.memory import SegmentMemory
from lastwords.capture.core.notes import CoreNotes
from lastwords.capture.memory import ReadError

AT_EXECFN = 31
WORD = 8
SEARCH = 8 << 20  # bytes below the program's name in which the vector must lie: environments are large
ARGUMENTS_LIMIT = 10_000
ARGUMENT_LIMIT = 4096  # bytes of one


def read_arguments(segments: SegmentMemory, notes: CoreNotes) -> list[str]:
    """argv; empty where it is not to be found."""
    try:
        return [_read_argument(segments, pointer) for pointer in _find_pointers(_read_words(segments, notes))]
    except ReadError:
        return []


def _read_words(segments: SegmentMemory, notes: CoreNotes) -> list[int]:
    """The words before the auxiliary vector on the stack, at most `SEARCH` bytes of them. Raises ReadError."""
    top = notes.auxiliary(AT_EXECFN) or 0
    stack = segments.find(top)
    if stack is None or not notes.auxv:
        raise ReadError("no stack is in the core")
    start = max(stack.address, top - SEARCH)
    data = segments.read(start, top - start)
    at = data.rfind(notes.auxv)
    return [int(word) for (word,) in struct.iter_unpack("<Q", data[at % WORD : at])] if at >= 0 else []


def _find_pointers(words: list[int]) -> list[int]:
    """Those to the arguments, whose number stands before them."""
    if not words or words.pop() != 0:
        return []
    while words and words.pop() != 0:  # the environment
        continue
    for count in range(min(len(words), ARGUMENTS_LIMIT)):
        if words[-1 - count] == count:
            return words[len(words) - count :]
    return []


def _read_argument(segments: SegmentMemory, pointer: int) -> str:
    stack = segments.find(pointer)
    size = min(ARGUMENT_LIMIT, stack.address + stack.memory_size - pointer) if stack else 0
    return os.fsdecode(segments.read(pointer, size).partition(b"\0")[0])
