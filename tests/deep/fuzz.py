"""Many damaged memories, in worker processes: none may crash, hang, grow, or raise what is not ours."""

from __future__ import annotations

import faulthandler
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deep.damage import Recording, check

CASE_SECONDS = 1.0  # of processor time: a read may not take longer
HANG_SECONDS = 300.0  # for a chunk: then the worker is ended, and says where it was
MEMORY_LIMIT = 200 << 20  # bytes that a case may take
FAILURES_LIMIT = 20
CHUNK = 50


@dataclass
class Fuzzed:
    """What came of the cases of one recording; the most of one case: `slowest` in seconds of processor time, `memory`
    in bytes more than there were before it.
    """

    interpreter: str
    seed: int
    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: float = 0.0
    memory: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)


def fuzz(recording: Recording, numbers: range, seed: int) -> Fuzzed:
    """Run these cases here."""
    found = Fuzzed(recording.python, seed)
    begun = time.monotonic()
    for number in numbers:
        run_case(found, number, partial(check, recording, number, seed))
        if len(found.failures) >= FAILURES_LIMIT:
            break
    found.seconds = time.monotonic() - begun
    return found


def run_case(found: Fuzzed, number: int, read: Callable[[], str]) -> None:
    """One case: `read` says what came of it. An exception, too long a time or too much memory is a failure."""
    forget_peak()
    before, start = peak_memory(), time.process_time()
    what = ""
    try:
        found.outcomes[read()] += 1
    except Exception:  # whatever it is: it should not have come
        what = traceback.format_exc()
    took = time.process_time() - start
    found.cases += 1
    found.slowest = max(found.slowest, took)
    memory = peak_memory() - before
    found.memory = max(found.memory, memory)
    if took > CASE_SECONDS:
        what += f"it took {took:.1f} s"
    if memory > MEMORY_LIMIT:
        what += f"it took {memory >> 20} MB"
    if what:
        found.failures.append({"number": number, "seed": found.seed, "error": what[-3000:]})


def forget_peak() -> None:
    """From now on `peak_memory` counts anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Of this process since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def fuzz_in_workers(recordings: Sequence[tuple[Recording, int]], seed: int, workers: int) -> list[Fuzzed]:
    """Of each recording as many cases as it says, spread over worker processes. What came of them, by interpreter."""
    jobs = [
        (recording, range(start, min(start + CHUNK, cases)), seed)
        for recording, cases in recordings
        for start in range(0, cases, CHUNK)
    ]
    merged = {one.python: Fuzzed(one.python, seed) for one, _ in recordings}
    with multiprocessing.get_context("forkserver").Pool(workers) as pool:
        for part in pool.imap_unordered(_fuzz, jobs):
            merge(merged[part.interpreter], part)
    return list(merged.values())


def _fuzz(job: tuple[Recording, range, int]) -> Fuzzed:
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    try:
        return fuzz(*job)
    finally:
        faulthandler.cancel_dump_traceback_later()


def merge(whole: Fuzzed, part: Fuzzed) -> None:
    """Add a part to the whole."""
    whole.cases += part.cases
    whole.outcomes += part.outcomes
    whole.seconds += part.seconds
    whole.slowest = max(whole.slowest, part.slowest)
    whole.memory = max(whole.memory, part.memory)
    whole.failures += part.failures
