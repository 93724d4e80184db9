"""Does harm to `lastwords run` while a program runs under it, and sees what became of the program.

As a script it is the arena: a process of its own, the reaper of all orphans in it, so that the end of a program
whose parent was killed is seen too, and nothing is left behind. It reads trials as JSON and writes outcomes.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
HUNG_SECONDS = 100.0
END_SECONDS = 60.0
COMMS = {"gdb": "gdb", "keeper": "lastwords-keep"}


@dataclass
class Trial:
    """`command` under lastwords; `delay` seconds after its start (or, `running`, its first line) the `harm`.

    `harm` is pairs of a victim (lastwords, gdb, keeper) and a signal's number, `after` the same at the program's end.
    """

    command: list[str]
    delay: float
    harm: list[tuple[str, int]]
    running: bool = False
    after: list[tuple[str, int]] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    patience: float = HUNG_SECONDS


@dataclass
class Outcome:
    """What became of it. `program` and `lastwords` are wait statuses as in subprocess (-9 is SIGKILL), None: never."""

    phase: str
    program: int | None
    lastwords: int | None
    end_was_said: bool
    stopped: list[str]
    left: list[str]
    seconds: float
    stderr: str

    @property
    def harmless(self) -> bool:
        """The program ended as it does by itself, or never began; nothing stands still, nothing is left."""
        ended = self.end_was_said and self.program in (7, None)  # None: lastwords had reaped it before it was killed
        never_began = self.phase == "starting" and self.program is None
        return (ended or never_began) and not self.stopped and not self.left

    def __str__(self) -> str:
        left = "; ".join([*self.stopped, *self.left]) or "nothing"
        ends = f"program {self.program!s:5} lastwords {self.lastwords!s:4}"
        return f"{self.phase:9} {ends} {self.seconds:5.1f} s, left: {left}"


def in_arena(trials: Sequence[Trial], timeout: float = 280) -> list[Outcome]:
    """Run the trials, one after the other."""
    asked = json.dumps([asdict(trial) for trial in trials])
    done = subprocess.run(
        [sys.executable, __file__], input=asked, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(**one) for one in json.loads(done.stdout)]


class Arena:
    """One trial."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.ended: dict[int, int] = {}
        self.said = {"out": b"", "err": b""}
        command = [sys.executable, "-m", "lastwords", "run", *trial.options, "--", *trial.command]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.streams = {self.process.stdout.fileno(): "out", self.process.stderr.fileno(): "err"}

    def run(self) -> Outcome:
        """The trial from its start to its end; everything that it started is ended then."""
        if self.trial.running:
            self.listen(HUNG_SECONDS, until_program=True)
        self.listen(self.trial.delay)
        phase = "over" if self.said["out"].endswith(b"end\n") else "running" if self.pid else "starting"
        start = time.monotonic()
        self.do_harm(self.trial.harm)
        self.wait_for_end(self.trial.patience)
        seconds = time.monotonic() - start
        self.do_harm(self.trial.after)
        self.wait_until_alone(END_SECONDS)
        left = {pid: f"{comm} ({state})" for pid, comm, state in descendants()}
        stopped = [f"stopped: {text}" for text in left.values() if text[-2] in "Tt"]
        self.clean(left)
        said = self.said["err"].decode(errors="backslashreplace")
        program = self.ended.get(self.pid) if self.pid else None
        ended = b"end\n" in self.said["out"]
        return Outcome(
            phase, program, self.ended.get(self.process.pid), ended, stopped, list(left.values()), seconds, said
        )

    @property
    def pid(self) -> int | None:
        """The program's, from its first line."""
        first, newline, _ = self.said["out"].partition(b"\n")
        return int(first.split()[1]) if newline else None

    def listen(self, seconds: float, until_program: bool = False) -> None:
        """Read what is said, for so long, or until all have closed their ends."""
        deadline = time.monotonic() + seconds
        while self.streams and (left := deadline - time.monotonic()) > 0 and not (until_program and self.pid):
            for fd in select.select(list(self.streams), [], [], left)[0]:
                data = os.read(fd, 65536)
                self.said[self.streams[fd]] += data
                if not data:
                    del self.streams[fd]

    def wait_for_end(self, seconds: float) -> None:
        """Until the program has ended (if it began)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.listen(0.05)
            self.reap()
            if has_ended(self.pid) or (has_ended(self.process.pid) and not self.streams):
                return
            if not self.streams:
                time.sleep(0.02)

    def wait_until_alone(self, seconds: float) -> None:
        """Until every process of the trial has ended."""
        deadline = time.monotonic() + seconds
        while descendants() and time.monotonic() < deadline:
            self.listen(0.05)
            self.reap()
            time.sleep(0.02)

    def reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self.ended[found[0]] = os.waitstatus_to_exitcode(found[1])
        self.process.returncode = self.ended.get(self.process.pid)
        if self.pid and self.pid not in self.ended and not Path(f"/proc/{self.pid}").exists():
            lastwords = self.ended.get(self.process.pid)  # which has reaped it, and ends likewise
            if lastwords is not None and not any(victim == "lastwords" for victim, _ in self.trial.harm):
                self.ended[self.pid] = lastwords

    def do_harm(self, harm: Sequence[tuple[str, int]]) -> None:
        for victim, number in harm:
            for pid in self.find(victim):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def find(self, victim: str) -> list[int]:
        if victim == "lastwords":
            return [self.process.pid]
        return [pid for pid, comm, _ in descendants() if comm == COMMS[victim]]

    def clean(self, left: dict[int, str]) -> None:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + END_SECONDS
        while descendants() and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.02)


def descendants() -> list[tuple[int, str, str]]:
    """(pid, comm, state) of all processes below this one; "t" if any thread of it stands still for a tracer."""
    found = {os.getpid()}
    processes = {pid: fields for pid in pids() if (fields := stat(pid))}
    below: list[tuple[int, str, str]] = []
    news = True
    while news:
        news = False
        for pid, (comm, state, parent) in processes.items():
            if parent in found and pid not in found:
                found.add(pid)
                below.append((pid, comm, next((one for one in thread_states(pid) if one in "Tt"), state)))
                news = True
    return below


def has_ended(pid: int | None) -> bool:
    """Whether it is gone, or waits for its parent (which may be frozen) to notice."""
    found = stat(pid) if pid else ("", "R", 0)
    return found is None or found[1] == "Z"


def pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def stat(pid: int) -> tuple[str, str, int] | None:
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    state, parent = after.split()[:2]
    return before.partition("(")[2], state, int(parent)


def thread_states(pid: int) -> str:
    states = ""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            states += (task / "stat").read_text().rpartition(")")[2].split()[0]
    return states


def main() -> None:
    """The arena."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    json.dump([asdict(Arena(Trial(**trial)).run()) for trial in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
