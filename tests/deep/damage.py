"""Recorded memories, and how they are damaged: numbers that say it again from the seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deep.host import Host
from deep.measure import look_at_nothing
from deep.programs import Program, Step, Work, render
from interpreters import Interpreter as Python
from lastwords.capture import procfs
from lastwords.capture.captured import Captured
from lastwords.capture.elf import Image
from lastwords.capture.kernel.facts import Facts, read_facts
from lastwords.capture.memory import (
    PAGE,
    CachedMemory,
    Memory,
    Range,
    ReadError,
    open_process_memory,
    unreadable,
)
from lastwords.capture.stop.live import capture_process
from lastwords.cpython.interpreter import find_image, open_image
from lastwords.cpython.structs import Structs
from lastwords.errors import TargetError
from lastwords.examine.core import load_core
from lastwords.examine.describe import new_moment, new_report
from lastwords.examine.read import Options, Source, read_moment
from lastwords.model import Process, Report

WORD = 8
# Fields that chain things of one kind: a cycle in one of these is a loop for a careless reader.
LINKS = {
    ("PyThreadState", "next"), ("PyInterpreterState", "next"), ("_PyInterpreterFrame", "previous"),
    ("PyFrameObject", "f_back"), ("PyTracebackObject", "tb_next"), ("PyBaseExceptionObject", "context"),
    ("PyBaseExceptionObject", "cause"), ("PyTypeObject", "tp_base"), ("_PyErr_StackItem", "previous_item"),
}  # fmt: skip


def _work(calls: str, stand: str, values: Sequence[str] = ("[1, [2]]", "{'a': (1,)}", "u'\\xe4'")) -> Work:
    steps = tuple(Step(call, tuple(values), depth=3) for call in calls.split())
    return Work(steps, stand, name="ä thread")


# One of everything that is read in a way of its own.
RICH = Program(
    (
        _work("with_lock handler_of_cause generator closure", "condition"),
        _work("with_rlock_again coroutine class_body", "queue", ("10**40", "1.5", "set([1, 2])", "b'x' * 300")),
        _work("handled_in_generator with_locks", "contended", ()),
        _work("modules handler_of_context sorted acquired", "event"),
    )
)

# A few frames in one thread: of a small memory a damaged word is more likely to matter, and it is read in less time.
SMALL = Program((_work("with_lock generator", "event"),))
RECORDED = {"rich": (RICH, 1), "small": (SMALL, 4)}  # and the cases that each gets, in parts


class Recorder(CachedMemory):
    """Notes which words are read."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.words: set[int] = set()

    def read(self, address: int, size: int) -> bytes:
        """See Memory."""
        self.words.update(range(address & -WORD, address + min(max(size, 0), 256), WORD))
        return super().read(address, size)


@dataclass(frozen=True)
class Recording:
    """What a clean read of a standing target needed: pages, the words in them that it looked at, its chains."""

    python: str
    image: Image
    captured: Captured
    facts: Facts | None
    pages: dict[int, bytes]
    words: list[int]
    links: list[int]
    threads: int


@dataclass
class Damaged:
    """A recorded memory, some words of it changed, read page by page."""

    pages: dict[int, bytes]
    changed: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._touched: dict[int, bytearray] = {}
        for at, word in self.changed.items():
            page = self._touched.setdefault(at & -PAGE, bytearray(self.pages[at & -PAGE]))
            page[at & PAGE - 1 : (at & PAGE - 1) + len(word)] = word

    def read(self, address: int, size: int) -> bytes:
        """See Memory; only whole pages."""
        page = self._touched.get(address) or self.pages.get(address)
        if page is None or size != PAGE:
            raise unreadable(address, size, "not recorded")
        return bytes(page)

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """See Memory."""
        return [self.read(*item) if item[0] in self.pages and item[1] == PAGE else None for item in ranges]


def record(python: Python, program: Program = RICH) -> Recording:
    """A clean read of a program under one interpreter."""
    with Host(python) as host:
        host.stand(render(program, python.version))
        captured = capture_process(host.pid, look_at_nothing, look_at_nothing)
        image = find_image(host.pid, procfs.read_maps(host.pid))
        return _record(python.name, open_process_memory(host.pid), image, captured, read_facts(host.pid))


def record_core(path: Path) -> Recording:
    """A clean read of a core file: what is damaged, and how, is the same on every machine and in every run."""
    loaded = load_core(path)
    return _record(path.name, loaded.core.memory, loaded.interp.image, loaded.captured, None)


def _record(name: str, memory: Memory, image: Image, captured: Captured, facts: Facts | None) -> Recording:
    recorder = Recorder(memory)
    with _noting_links() as links:
        report = read_all(recorder, image, captured, facts)
    pages = {number: page for number, page in recorder._pages.items() if page is not None}
    words = sorted(word for word in recorder.words if word & -PAGE in pages)
    there = sorted(address for address in links if address & -PAGE in pages)
    return Recording(name, image, captured, facts, pages, words, there, len(report.threads))


@contextmanager
def _noting_links() -> Iterator[set[int]]:
    """The addresses of the fields in LINKS that are read meanwhile."""
    links: set[int] = set()
    read = Structs.number

    def number(self: Structs, address: int, struct: str, name: str) -> int:
        if (struct, name) in LINKS:
            links.add(address + self.layout.offset(struct, name))
        return read(self, address, struct, name)

    Structs.number = number  # type: ignore[method-assign,assignment]
    try:
        yield links
    finally:
        Structs.number = read  # type: ignore[method-assign]


def read_all(memory: CachedMemory, image: Image, captured: Captured, facts: Facts | None) -> Report:
    """Everything that a report holds. Raises ReadError or TargetError where not even the interpreter is found."""
    interp = open_image(None, memory, image)
    report = new_report("attach")
    report.processes.append(Process(id="process", pid=0))
    one = Captured(
        pid=None, memory=memory, maps=captured.maps, threads=captured.threads, architecture=captured.architecture,
        method="recorded",
    )  # fmt: skip
    moment = new_moment("moment-1", "process", "attach", one)
    report.moments.append(moment)
    read_moment(report, moment, Source(interp, one, facts), Options(locals=True))
    return report


def damage(recording: Recording, number: int, seed: int) -> dict[int, bytes]:
    """The words that case `number` changes: one half of the cases in what a clean read looked at."""
    chance = random.Random(f"{seed} {recording.python} {number}")
    if number % 8 == 0:
        return _make_cycle(recording, chance)
    if number % 2 == 0:
        places = chance.sample(recording.words, chance.randint(1, 3))
    else:
        pages = sorted(recording.pages)
        places = [chance.choice(pages) + chance.randrange(0, PAGE, WORD) for _ in range(chance.randint(1, 40))]
    return {at: _bad_word(recording, at, chance) for at in places}


def _bad_word(recording: Recording, at: int, chance: random.Random) -> bytes:
    """Another pointer, one to itself or into the middle of something, a size that cannot be, a flipped bit, noise."""
    old = int.from_bytes(recording.pages[at & -PAGE][at & PAGE - 1 : (at & PAGE - 1) + WORD], "little")
    other = chance.choice(recording.words)
    choices: list[int] = [
        0, 1, 2**63, 2**64 - 1, 2**64 - 8, 2**31, 2**31 - 1, 2**17, 2**24, 2**40, at, other, other + 4, other - 16,
        _word_at(recording, other), old + 8, old - 8, old << 8 & 2**64 - 1, chance.getrandbits(64),
        0x4141414141414141, 0x7FFFFFFFF000,
    ]  # fmt: skip
    flips = [old ^ 1 << chance.randrange(64) for _ in range(len(choices) // 2)]
    return (chance.choice([*choices, *flips]) & 2**64 - 1).to_bytes(WORD, "little")


def _word_at(recording: Recording, at: int) -> int:
    return int.from_bytes(recording.pages[at & -PAGE][at & PAGE - 1 : (at & PAGE - 1) + WORD], "little")


def _make_cycle(recording: Recording, chance: random.Random) -> dict[int, bytes]:
    """One or two links lead to where another link, or the same one, leads or lies."""
    changed = {}
    for at in chance.sample(recording.links, min(chance.randint(1, 2), len(recording.links))):
        other = chance.choice(recording.links)
        changed[at] = (_word_at(recording, other) or other & -16).to_bytes(WORD, "little")
    return changed


def check(recording: Recording, number: int, seed: int) -> str:
    """Read one damaged memory: "read", or "refused" where no interpreter was found. Raises what should not be."""
    memory = CachedMemory(Damaged(recording.pages, damage(recording, number, seed)))
    try:
        read_all(memory, recording.image, recording.captured, recording.facts)
    except (ReadError, TargetError):
        return "refused"
    return "read"
