"""lastwords is ended, or runs out of something, at each stage of its work: the target runs on, the message is ours."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harm.peers import LASTWORDS
from harm.server import Server
from harm.staged import STAGES

STAGED = Path(__file__).with_name("staged.py")
SECONDS = 120.0
MEMORY = (0, 1, 2, 4, 8, 16)  # MB that are left
LIMITS = range(16, 128, 8)  # MB in all
FILE_LIMIT = 4096
TRACEBACK = "Traceback (most recent call last)"
OURS = re.compile(r"(lastwords: .*\n(  .*\n)*|\S+: [\d.]+ MB, .*\n(  .*\n)*)*")  # an error, or what was written


@dataclass
class Ended:
    """One end: at which stage, by what; lastwords' exit code, what it said, and what became of the target."""

    command: str
    stage: str
    harm: str
    code: int
    said: str
    target: str = "runs on"
    left: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """All that should not be."""
        wrong = [] if self.target == "runs on" else [f"the target {self.target}"]
        wrong += [f"left behind: {self.left}"] if self.left else []
        wrong += [f"it said: {self.said}"] if TRACEBACK in self.said or not OURS.fullmatch(self.said) else []
        wrong += ["it was a bug"] if self.code == 125 else []
        return [f"{self.command}, {self.stage}, {self.harm}: {one}" for one in wrong]

    @property
    def is_harmless(self) -> bool:
        """All as it should be."""
        return not self.failures


def end_everywhere(server: Server, scratch: Path) -> Iterator[Ended]:
    """Each harm at each stage of each command."""
    for command, arguments in commands(server.pid, scratch).items():
        for stage in stages_of(command):
            for harm in [*map(str, (int(signal.SIGINT), int(signal.SIGTERM), int(signal.SIGHUP))), *_memories()]:
                words = [sys.executable, str(STAGED), stage, harm, *arguments]
                yield end_once(server, scratch, Ended(command, stage, _name(harm), 0, ""), words)
        for name, limit in {**_limits(), **_streams()}.items():
            yield end_once(server, scratch, Ended(command, "all", name, 0, ""), [LASTWORDS, *arguments], limit)


def commands(pid: int, scratch: Path) -> dict[str, list[str]]:
    """The command lines of lastwords, by name."""
    return {
        "attach": ["attach", str(pid)],
        "attach --json": ["attach", str(pid), "--json", str(scratch / "report.json")],
        "snapshot -o": ["snapshot", str(pid), "-o", str(scratch / "x.core")],
    }


def stages_of(command: str) -> list[str]:
    """Those that it has."""
    lacks = {"writing", "report"} if command.startswith("snapshot") else {"writing a snapshot"}
    lacks |= {"writing"} if command == "attach" else set()
    return [stage for stage in STAGES if stage not in lacks]


def end_once(
    server: Server, scratch: Path, ended: Ended, words: Sequence[str], limit: Callable[[], None] | None = None
) -> Ended:
    """One run; `limit` is called in its process, before."""
    outputs = scratch / "outputs"
    outputs.mkdir(exist_ok=True)
    words = [word.replace(str(scratch), str(outputs)) for word in words]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=limit,  # noqa: PLW1509 - it makes system calls alone
        start_new_session=True,
    ) as process:  # fmt: skip
        _, ended.said = process.communicate(timeout=SECONDS)
    ended.code = process.returncode
    if stopped := server.find_stopped():
        ended.target = f"is left stopped: {stopped}"
        server.revive()
    elif not server.is_there() or not server.answers():
        ended.target = "does not answer"
    found = sorted(path.name for path in outputs.iterdir())
    whole = {"report.json", "x.core"} if ended.code in (0, 5) else set()
    ended.left = [name for name in found if name not in whole]
    for name in found:
        (outputs / name).unlink()
    return ended


def _memories() -> list[str]:
    return [f"memory:{size}" for size in MEMORY]


def _limits() -> dict[str, Callable[[], None]]:
    found: dict[str, Callable[[], None]] = {
        f"ulimit -v {size} MB": partial(resource.setrlimit, resource.RLIMIT_AS, (size << 20, size << 20))
        for size in LIMITS
    }
    found["disk full"] = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))
    return found


def _streams() -> dict[str, Callable[[], None]]:
    return {"stdout closed": partial(os.close, 1), "stdout full": _fill_stdout, "stdout broken": _break_stdout}


def _fill_stdout() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _break_stdout() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)


def _name(harm: str) -> str:
    return signal.Signals(int(harm)).name if harm.isdecimal() else f"{harm.partition(':')[2]} MB left"


HEADINGS = ("command", "harm", "stages", "ends", "the target runs on", "in our words", "nothing left behind")


def rows(measured: Sequence[Ended]) -> list[list[object]]:
    """A line of the table for each command and kind of harm."""
    kinds: dict[tuple[str, str], list[Ended]] = {}
    for one in measured:
        kind = "memory" if one.harm.endswith(("MB", "MB left")) else one.harm
        kinds.setdefault((one.command, kind), []).append(one)
    return [
        [
            command, kind, len({one.stage for one in some}), len(some), sum(one.target == "runs on" for one in some),
            sum(bool(OURS.fullmatch(one.said)) and one.code != 125 for one in some),
            sum(not one.left for one in some),
        ]
        for (command, kind), some in kinds.items()
    ]  # fmt: skip
