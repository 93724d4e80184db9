"""`make test-deep`: correctness, measured at length. What came of it is in .cache/deep/report.json.

python -m deep.run                               everything, seed drawn and printed
python -m deep.run --seed 7 --only programs      again what seed 7 did; or greenlets, verdicts, busy, memory, cores
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from deep.busy import Busy, attach_again_and_again
from deep.cores import fuzz_cores
from deep.damage import RECORDED, record
from deep.fuzz import Fuzzed, fuzz_in_workers
from deep.greenlets import MeasuredGreenlets, measure
from deep.measure import Measured, Measurement
from deep.verdicts import MeasuredVerdicts, measure_kinds
from environments import environment_for, gevent_for, hunter_for, other_gevent_for
from interpreters import CHECKOUT, Interpreter, find_interpreters
from lastwords.examine import Options

OUTPUT = CHECKOUT / ".cache" / "deep"
PROGRAMS, ATTACHES, CASES = 1000, 1000, 100_000
WORKERS = os.cpu_count() or 1
AnyMeasured = Measured | MeasuredGreenlets | MeasuredVerdicts | Busy | Fuzzed
Part = Callable[[argparse.Namespace, list[Interpreter]], Sequence[AnyMeasured]]


def measure_programs(arguments: argparse.Namespace, pythons: list[Interpreter]) -> Sequence[AnyMeasured]:
    """Generated programs, per interpreter."""
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        return pool.starmap(_measure, [(one, arguments.seed, arguments.programs) for one in pythons], chunksize=1)


def _measure(python: Interpreter, seed: int, count: int) -> Measured:
    measured = Measurement(python, seed).run(count)
    print_line(
        f"{python.name}: {measured.programs} distinct programs, {measured.fields} fields,"
        f" {measured.programs / measured.seconds:.1f} a second, {len(measured.failures)} failures"
        + (f", no program with {', '.join(measured.missing)}" if measured.missing else "")
    )
    return measured


def measure_greenlets(arguments: argparse.Namespace, pythons: list[Interpreter]) -> Sequence[AnyMeasured]:
    """Generated programs of greenlets, per interpreter; fewer with another gevent or greenlet."""
    count = arguments.programs
    usual = [(one, (*gevent_for(one), *hunter_for(one)), arguments.seed, count) for one in pythons]
    others = [(one, other, arguments.seed + count, count // 4) for one in pythons if (other := other_gevent_for(one))]
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        return pool.starmap(_measure_greenlets, usual + others, chunksize=1)


def _measure_greenlets(python: Interpreter, requirements: Sequence[str], seed: int, count: int) -> MeasuredGreenlets:
    environment = environment_for(python, *requirements)
    measured = measure(python.name, environment, range(seed, seed + count), Options(native=False))
    print_line(
        f"{python.name}, {' '.join(requirements)}: {measured.programs} programs of greenlets,"
        f" {measured.greenlets} greenlets, {measured.frames} frames, {sum(measured.waits.values())} waits"
        f" {dict(measured.waits)}, {measured.holds} holds, {len(measured.failures)} failures"
    )
    return measured


def measure_verdicts(arguments: argparse.Namespace, pythons: list[Interpreter]) -> Sequence[AnyMeasured]:
    """Generated programs of waits, and what is found wrong with them, per interpreter; some at once, as they sleep."""
    return [_judge(one, arguments.seed, arguments.programs) for one in pythons]


def _judge(python: Interpreter, seed: int, count: int) -> MeasuredVerdicts:
    measured = measure_kinds(python, seed, count)
    print_line(
        f"{python.name}: {measured.programs} programs of waits {dict(measured.shapes)},"
        f" {len(measured.failures)} failures"
    )
    return measured


def measure_busy(arguments: argparse.Namespace, pythons: list[Interpreter]) -> Sequence[AnyMeasured]:
    """A busy target, per interpreter; one after the other, so that it is busy."""
    return [_attach(one, arguments.attaches) for one in pythons]


def _attach(python: Interpreter, count: int) -> Busy:
    busy = attach_again_and_again(python, count)
    print_line(
        f"{python.name}: {busy.attaches} attaches to 8 busy threads, {busy.frames} frames,"
        f" {busy.attaches / busy.seconds:.1f} a second, {busy.gaps} with gaps, {len(busy.failures)} failures"
    )
    return busy


def measure_memory(arguments: argparse.Namespace, pythons: list[Interpreter]) -> Sequence[AnyMeasured]:
    """Damaged memories, the cases spread over all interpreters."""
    parts = len(pythons) * sum(share for _, share in RECORDED.values())
    recordings = [
        (record(one, program), -(-arguments.cases * share // parts))
        for one in pythons
        for program, share in RECORDED.values()
    ]
    begun = time.monotonic()
    found = fuzz_in_workers(recordings, arguments.seed, WORKERS)
    seconds = time.monotonic() - begun
    for one in found:
        print_line(
            f"{one.interpreter}: {one.cases} damaged memories, {dict(one.outcomes)}, slowest {one.slowest:.2f} s,"
            f" {one.memory >> 20} MB, {len(one.failures)} failures"
        )
    print_line(f"{sum(one.cases for one in found) / seconds:.0f} cases a second")
    return found


def measure_cores(arguments: argparse.Namespace, pythons: list[Interpreter]) -> Sequence[AnyMeasured]:
    """Damaged core files of two interpreters."""
    chosen = pythons[:: max(len(pythons) - 1, 1)]
    found = [fuzz_cores(one, arguments.cases // 100, arguments.seed) for one in chosen]
    for one in found:
        print_line(
            f"{one.interpreter}: {one.cases} damaged cores, {dict(one.outcomes)}, slowest {one.slowest:.2f} s,"
            f" {len(one.failures)} failures"
        )
    return found


PARTS: dict[str, Part] = {
    "programs": measure_programs, "greenlets": measure_greenlets, "verdicts": measure_verdicts, "busy": measure_busy,
    "memory": measure_memory, "cores": measure_cores,
}  # fmt: skip


def print_line(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Measure, print, write the artefact. 1 where something was wrong."""
    arguments = parse()
    print_line(f"seed {arguments.seed}    (again: make test-deep ARGS='--seed {arguments.seed}')")
    pythons = [one for one in find_interpreters() if not one.has("free_threaded")]
    document: dict[str, Any] = {"seed": arguments.seed, "interpreters": [one.name for one in pythons]}
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name in arguments.only or PARTS:
        begun = time.monotonic()
        document[name] = [plain(one) for one in PARTS[name](arguments, pythons)]
        print_line(f"{name}: {time.monotonic() - begun:.0f} s")
        (OUTPUT / "report.json").write_text(json.dumps(document, indent=1))
    failures = list(find_failures(document))
    print_line("\n\n".join(failures) if failures else "all as it should be")
    print_line(f"in {OUTPUT / 'report.json'}")
    return 1 if failures else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make test-deep", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--programs", type=int, default=PROGRAMS, help="for each interpreter")
    parser.add_argument("--attaches", type=int, default=ATTACHES, help="for each interpreter")
    parser.add_argument("--cases", type=int, default=CASES, help="of damaged memory in all")
    return parser.parse_args()


def plain(value: AnyMeasured) -> dict[str, Any]:
    """As JSON has it."""
    return {key: sorted(item) if isinstance(item, set) else item for key, item in vars(value).items()}


def find_failures(document: dict[str, Any]) -> Iterator[str]:
    """All that went wrong, as text."""
    for name in PARTS:
        for measured in document.get(name, []):
            for failure in measured["failures"]:
                yield f"{name}, {measured['interpreter']}: " + describe(failure)


def describe(failure: str | dict[str, Any]) -> str:
    """One failure."""
    if isinstance(failure, str):
        return failure
    lines = (failure.get("source") or "").splitlines()
    program = "\n".join(line for line in lines if line.strip())
    return f"{failure.get('differences') or failure.get('error')}\n{program}"


if __name__ == "__main__":
    sys.exit(main())
