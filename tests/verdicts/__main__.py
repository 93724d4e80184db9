"""`make verdicts [CASES=DIR] [ARGS=...]`: is the first finding the true one? A table of cases x interpreters.

python -m verdicts                          the project's own cases, on every Python of this machine
python -m verdicts --cases DIR              those of another folder, in the format of tests/verdicts/README.md
python -m verdicts --sample 1               each case with one of its environments, another one for each case
python -m verdicts --env py311 livelock     one case, one environment
python -m verdicts --renamed                the same with all their functions, variables and files called otherwise
python -m verdicts --healthy [--sample 1]   servers and other healthy programs, idle and under load, 100 attaches each
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from environments import Environment, EnvironmentFailedError
from verdicts import healthy
from verdicts.case import OWN, Case, Verdict, open_environment, read_cases, read_environments
from verdicts.programs import try_case

ENOUGH = 0.95  # of the verdicts must be right; none may be wrong and certain, none a false alarm


@dataclass(frozen=True)
class Result:
    """One row: what was expected of a case on one interpreter, and what was found."""

    case: str
    environment: str
    expected: tuple[str, ...]
    found: str
    verdict: Verdict
    seconds: float | None

    @property
    def is_wrong_and_certain(self) -> bool:
        """A finding that says it is certain, and is not so."""
        return self.verdict in ("wrong code", "wrong place", "false alarm") and "(certain)" in self.found


def main() -> int:
    """Try the cases, print the table. 1 where it is not good enough."""
    arguments = parse()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and so by all that we start
    if arguments.healthy:
        return healthy.try_programs(arguments.case, arguments.attaches, arguments.python, bool(arguments.sample))
    began = time.monotonic()
    environments = Environments(arguments.cases)
    pairs = choose(read_cases(arguments.cases, arguments.case), environments, arguments)

    def one(pair: tuple[Case, str]) -> Result:
        result = try_pair(*pair, environments, renamed=arguments.renamed)
        print_line(format_row(result))
        return result

    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(one, pairs))
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(result) for result in results], indent=1))
    print_line("\n" + "\n".join(describe_totals(results)) + f"\n{time.monotonic() - began:.0f} s")
    return 0 if is_good(results) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make verdicts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=Path, default=OWN)
    parser.add_argument("--env", action="append", help="only these environments")
    parser.add_argument("--sample", type=int, help="so many environments for each case")
    parser.add_argument("--jobs", type=int, default=2, help="so many at once")
    parser.add_argument("--out", type=Path, help="write every result as JSON")
    parser.add_argument("--healthy", action="store_true", help="programs with which nothing is wrong, instead of cases")
    parser.add_argument("--renamed", action="store_true", help="functions, variables and files of cases by other names")
    parser.add_argument("--attaches", type=int, default=100, help="to each healthy program in each state")
    parser.add_argument("--python", help="run the healthy programs on this one, like 3.13")
    parser.add_argument("case", nargs="*")
    return parser.parse_args()


class Environments:
    """Those of a folder of cases; each is opened, or built, once."""

    def __init__(self, folder: Path) -> None:
        self._said = read_environments(folder)
        self._opened: dict[str, Environment | str] = {}

    def open(self, name: str) -> Environment | str:
        """The environment, or why there is none."""
        if name not in self._opened:
            try:
                opened = open_environment(self._said[name])
            except EnvironmentFailedError as error:
                print_line(str(error))
                opened = None
            self._opened[name] = opened or f"no Python {self._said[name]['python']} here, or not what it needs"
        return self._opened[name]

    def has(self, name: str) -> bool:
        """Whether programs can run in it."""
        return isinstance(self.open(name), Environment)


def choose(cases: list[Case], environments: Environments, arguments: argparse.Namespace) -> list[tuple[Case, str]]:
    """(case, environment): all; or some of those that are here, another beginning for each case."""
    pairs: list[tuple[Case, str]] = []
    for number, case in enumerate(cases):
        names = [name for name in case.environments if not arguments.env or name in arguments.env]
        if arguments.sample:
            names = [name for name in names if environments.has(name)]
            first = number * 5 % max(len(names), 1)
            names = [*names[first:], *names[:first]][: arguments.sample]
        pairs += [(case, name) for name in names]
    for name in dict.fromkeys(name for _, name in pairs):
        environments.open(name)
    return pairs


def try_pair(case: Case, name: str, environments: Environments, *, renamed: bool) -> Result:
    """The result of one case in one environment."""
    opened = environments.open(name)
    if isinstance(opened, str):
        return Result(case.name, name, case.codes, opened, "skipped", None)
    verdict, found, seconds = try_case(case, opened, renamed=renamed)
    return Result(case.name, name, case.codes, found, verdict, seconds)


def format_row(result: Result) -> str:
    """One line of the table."""
    took = f"{result.seconds:5.1f} s" if result.seconds is not None else " " * 7
    expected = ", ".join(result.expected)
    return f"{result.case:34} {result.environment:12} {result.verdict:12} {took}  {expected:32} {result.found}".rstrip()


def describe_totals(results: Sequence[Result]) -> Iterator[str]:
    """Per expected code, then of all."""
    ran = [result for result in results if result.verdict != "skipped"]
    right, all_of = Counter[str](), Counter[str]()
    for result in ran:
        all_of[result.expected[0]] += 1
        right[result.expected[0]] += result.verdict == "right"
    for code, count in sorted(all_of.items()):
        yield f"{code:32} {right[code]:4} of {count}"
    seconds = sorted(result.seconds for result in ran if result.seconds is not None) or [0.0]
    share = 100 * right.total() / max(len(ran), 1)
    yield f"right {right.total()} of {len(ran)} ({share:.1f} %), skipped {len(results) - len(ran)}"
    certain = sum(result.is_wrong_and_certain for result in ran)
    alarms = sum(result.verdict == "false alarm" for result in ran)
    yield f"wrong but certain {certain}, false alarms {alarms}"
    yield f"lastwords took {seconds[len(seconds) // 2]:.1f} s for half of them, {seconds[-1]:.1f} s at most"


def is_good(results: Sequence[Result]) -> bool:
    """Whether enough is right and nothing is worse than missing."""
    ran = [result for result in results if result.verdict != "skipped"]
    right = sum(result.verdict == "right" for result in ran)
    worse = any(result.is_wrong_and_certain or result.verdict == "false alarm" for result in ran)
    return bool(ran) and right >= ENOUGH * len(ran) and not worse


def print_line(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
