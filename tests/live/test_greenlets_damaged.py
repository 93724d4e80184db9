"""Memory of a program with greenlets, words of it changed: nothing is raised but our own errors, nothing hangs."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from deep.damage import WORD, Damaged, Recorder
from environments import Environment
from harness import TARGETS, running
from lastwords.capture import elf, procfs
from lastwords.capture.architectures import this_machine
from lastwords.capture.captured import Captured, KernelThread
from lastwords.capture.elf import Image
from lastwords.capture.memory import PAGE, CachedMemory, Memory, ReadError, open_process_memory
from lastwords.capture.stop.live import read_kernel_threads
from lastwords.cpython.interpreter import find_image, open_image
from lastwords.errors import TargetError
from lastwords.examine.describe import new_moment, new_report
from lastwords.examine.greenlet_search import GreenletSearch, search_process
from lastwords.examine.greenlet_stacks import add_greenlet_stacks
from lastwords.examine.read import Options, Source, read_moment
from lastwords.examine.stacks import open_stacks
from lastwords.model import Process, Report

CASES = int(os.environ.get("LASTWORDS_CASES", "8"))  # make test-deep: more; the addresses are others each time
SECONDS = 5.0  # of processor time for one case
SEED = 20261

pytestmark = pytest.mark.interpreters("!free_threaded")


class Reading:
    """A process that stands still, read again and again from one memory or another."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.maps = procfs.read_maps(pid)
        self.image: Image = find_image(pid, self.maps)
        memory = open_process_memory(pid)
        self.threads: Sequence[KernelThread] = read_kernel_threads(pid, procfs.PROC, memory)
        self.find = partial(elf.find_image_at, pid, self.maps)
        interp = open_image(pid, CachedMemory(memory), self.image)
        self.search = search_process(interp, memory, self.maps, self.find)

    def read(self, memory: CachedMemory) -> Report:
        captured = Captured(self.pid, memory, self.maps, self.threads, this_machine(), "recorded")
        search = GreenletSearch(self.find, self.search.found, switch=self.search.switch)
        source = Source(open_image(self.pid, memory, self.image), captured, greenlets=search)
        report = new_report("attach")
        report.processes.append(Process(id="process-1", pid=self.pid))
        moment = new_moment("moment-1", "process-1", "attach", captured)
        report.moments.append(moment)
        read_moment(report, moment, source, Options(locals=True))
        add_greenlet_stacks(source, open_stacks(source))
        return report


def damage(pages: dict[int, bytes], words: Sequence[int], chance: random.Random) -> Memory:
    """One to twenty words that were read, changed: nothing, noise, or another one of them."""
    changed = {}
    for at in chance.sample(words, chance.randint(1, 20)):
        other = chance.choice(words)
        kinds = (0, chance.getrandbits(64), other, (1 << 64) - 1, chance.getrandbits(8), at)
        changed[at] = chance.choice(kinds).to_bytes(WORD, "little")
    return Damaged(pages, changed)


@pytest.mark.interpreters(minors=("2.7", "3.6", "3.12", "3.15"))
def test_damaged_memory_ends_in_our_errors_alone(gevent_environment: Environment) -> None:
    command: list[str | Path] = [gevent_environment.python, TARGETS / "greenlets_plain.py", "main"]
    with running(command, env=gevent_environment.env) as target:
        count = len(json.loads(target.wait_for("facts ").removeprefix("facts "))["greenlets"])
        target.wait_for("ready")
        reading = Reading(target.pid)
        recorder = Recorder(open_process_memory(target.pid))
        assert len(reading.read(recorder).greenlets) == count
        pages = {at: page for at, page in recorder._pages.items() if page is not None}
        words = sorted(at for at in recorder.words if at & -PAGE in pages)
        outcomes: Counter[str] = Counter()
        for case in range(CASES):
            begun = time.process_time()
            outcomes[read_damaged(reading, damage(pages, words, random.Random(SEED + case)))] += 1
            assert time.process_time() - begun < SECONDS, case
        assert read_damaged(reading, without_a_type(pages, reading)) == "other greenlets", "damage must be told"
    print(outcomes)


def without_a_type(pages: dict[int, bytes], reading: Reading) -> Memory:
    """One greenlet whose ob_type is nothing (PyObject: the word after the reference count)."""
    address = min(reading.search.found.addresses)
    return Damaged(pages, {address + WORD: bytes(WORD)})


def read_damaged(reading: Reading, memory: Memory) -> str:
    """What came of it."""
    try:
        report = reading.read(CachedMemory(memory))
    except (ReadError, TargetError):
        return "refused"
    return "read" if len(report.greenlets) == len(reading.search.found.addresses) else "other greenlets"
