"""Damaged memory: whatever stands there, the readers end soon, and with no other error than ours."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import pytest

from harness import Target
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.capture.captured import KernelThread
from lastwords.capture.memory import PAGE, CachedMemory, Memory, ProcessMemory, ReadError, unreadable
from lastwords.cpython.finalize import read_step
from lastwords.cpython.interpreter import Interpreter, open_image
from lastwords.cpython.locals import read_locals
from lastwords.cpython.threads import read_threads
from lastwords.errors import TargetError
from lastwords.model import ExceptionValue

MUTATIONS = 50
KERNEL = [KernelThread(tid=tid) for tid in range(1, 4)]
T = TypeVar("T")
SECONDS = 5.0  # for one damaged memory, on a machine under load


class Recorder(CachedMemory):
    """Notes which words are read."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.words: set[int] = set()

    def read(self, address: int, size: int) -> bytes:
        self.words.update(range(address & -8, address + min(size, 256), 8))
        return super().read(address, size)


@dataclass
class Pages:
    """A recorded memory, some words of it changed."""

    pages: dict[int, bytes]
    changed: dict[int, bytes] = field(default_factory=dict)

    def read(self, address: int, size: int) -> bytes:
        page = self.pages.get(address)
        if page is None or size != PAGE:
            raise unreadable(address, size, "not recorded")
        data = bytearray(page)
        for at, word in self.changed.items():
            if address <= at < address + PAGE:
                data[at - address : at - address + 8] = word
        return bytes(data)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        return [self.read(*item) if item[0] in self.pages else None for item in ranges]


def read_everything(interp: Interpreter) -> None:
    """What a capture reads. ReadError may come from each part by itself."""
    threads = ours(interp.threads) or []
    for address, ident, _ in threads[:20]:
        ours(partial(cpython.read_stack, interp, address))
        for read in (cpython.read_pending_exception, cpython.read_handled_exception):
            ours(partial(read, interp, address))
        ours(partial(cpython.read_threading, interp, ident))
    last = ours(partial(cpython.read_last_exception, interp))
    assert last is None or isinstance(last, ExceptionValue)
    ours(partial(cpython.read_modules, interp))
    ours(lambda: interp.python)
    ours(interp.phase)
    ours(partial(read_step, interp))
    for thread in (ours(partial(read_threads, interp, KERNEL)) or [])[:20]:
        for place in thread.places[:20]:
            read_locals(interp, place)
    for name in ("__main__", "threading", "os"):
        module = ours(partial(cpython.read_module, interp, name))
        if module:
            cpython.read_value(interp, module)
            variables = ours(partial(cpython.module_globals, interp, module))
            cpython.read_value(interp, variables or 0)


def ours(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ReadError:
        return None


def damage(chance: random.Random, words: Sequence[int]) -> dict[int, bytes]:
    """One to three words: another pointer, a huge or negative size, a flipped bit, nothing."""
    choices = [0, 1, 2**63, 2**64 - 1, 2**31, 2**17, chance.getrandbits(64), chance.choice(words)]
    return {
        at: chance.choice([*choices, at]).to_bytes(8, "little") for at in chance.sample(words, chance.randint(1, 3))
    }


@pytest.mark.interpreters("!free_threaded")
def test_damaged_memory_ends_in_our_errors_alone(interpreter: Python, start_target: Callable[..., Target]) -> None:
    target = start_target(interpreter, "reader_describes.py", "5")
    image = cpython.open_process(target.pid).image
    recorder = Recorder(ProcessMemory(target.pid))
    read_everything(open_image(None, recorder, image))
    recorded = Pages({number: page for number, page in recorder._pages.items() if page is not None})
    read_everything(open_image(None, CachedMemory(recorded), image))
    words = sorted(word for word in recorder.words if word & -PAGE in recorded.pages)
    chance = random.Random(interpreter.name)
    opened = 0
    for number in range(MUTATIONS):
        changed = damage(chance, words)
        start = time.monotonic()
        try:
            interp = open_image(None, CachedMemory(Pages(recorded.pages, changed)), image)
            opened += 1
            read_everything(interp)
        except (ReadError, TargetError):
            continue
        finally:
            assert time.monotonic() - start < SECONDS, (number, changed)
    assert opened > MUTATIONS / 2, "the damage must reach the readers, not only the checks before them"
