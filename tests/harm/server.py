"""A server under constant load, and what can be seen of it from outside: its threads, its answers, its longest gap."""

from __future__ import annotations

import http.client
import json
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness import TARGETS, Target, running, wait_until

LOAD = Path(__file__).with_name("load.py")
CONNECTIONS = 4
PAUSE = 0.005  # seconds between an answer and the next request of the same connection
SETTLE_SECONDS = 3.0  # a target that is let go by the kernel runs on in milliseconds


@dataclass
class Told:
    """Requests of the load: milliseconds that each took, and those that failed."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Told) -> None:
        """Together with these."""
        self.latencies += other.latencies
        self.failures += other.failures


class Server:
    """The server; its pid, and what is asked of it."""

    def __init__(self, target: Target, load: Target, port: int, longest: Path) -> None:
        self.target, self.load, self.port, self.longest = target, load, port, longest
        self.pid = target.pid
        self._asked = 0

    def told(self) -> Told:
        """What came of the load since this was called last."""
        self.load.send_line()
        line = self.load.wait_for(f"told {self._asked}: ")
        self._asked += 1
        return Told(**json.loads(line.partition(": ")[2]))

    def longest_gap(self) -> float:
        """Seconds between two ticks inside the server, since this was called last; one that lasts is waited for."""
        ticks = self._read()[1]
        wait_until(lambda: self._read()[1] > ticks + 1 or not self.is_there(), "it ticks")
        seconds, _ = self._read()
        self._clear()
        return seconds

    def _clear(self) -> None:
        with self.longest.open("r+b") as file:  # in place: the server has it mapped
            file.write(bytes(16))

    def _read(self) -> tuple[float, int]:
        seconds, ticks = struct.unpack("dq", self.longest.read_bytes())
        return seconds, ticks

    def answers(self) -> bool:
        """Whether it answers a request of ours."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SETTLE_SECONDS)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def is_there(self) -> bool:
        """Whether the process has not ended."""
        return self.target.process.poll() is None

    def find_stopped(self, seconds: float = SETTLE_SECONDS) -> dict[int, str]:
        """The state, by tid, of each thread that still stands still after so long."""
        deadline = time.monotonic() + seconds
        while stopped := {tid: state for tid, state in states(self.pid) if state in "tT"}:
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)
        return stopped

    def find_tracer(self, seconds: float = SETTLE_SECONDS) -> int:
        """The process that still traces a thread of it after so long; 0 for none."""
        deadline = time.monotonic() + seconds
        while (tracer := find_tracer(self.pid)) and time.monotonic() < deadline:
            time.sleep(0.002)
        return tracer

    def revive(self) -> None:
        """It goes on, whoever left it stopped."""
        os.kill(self.pid, signal.SIGCONT)


def states(pid: int) -> list[tuple[int, str]]:
    """(tid, state) of every thread; "t" stands still for a tracer, "T" by a signal. Quick."""
    found = []
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - pathlib is slow
            with suppress(OSError):
                fd = os.open(f"/proc/{pid}/task/{name}/stat", os.O_RDONLY)
                try:
                    found.append((int(name), os.read(fd, 4096).rpartition(b") ")[2][:1].decode()))
                finally:
                    os.close(fd)
    return found


def is_held(pid: int) -> bool:
    """Whether a thread stands still for a tracer."""
    return any(state == "t" for _, state in states(pid))


def find_tracer(pid: int) -> int:
    """The process that traces a thread of it; 0 for none."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                line = next(line for line in (task / "status").read_text().splitlines() if line.startswith("TracerPid"))
                if tracer := int(line.split()[1]):
                    return tracer
    return 0


@contextmanager
def serving(
    python: Path, kind: str, scratch: Path, env: dict[str, str] | None = None, connections: int = CONNECTIONS
) -> Iterator[Server]:
    """A server (`threads` or `gevent`) under load."""
    longest = scratch / "longest"
    longest.write_bytes(bytes(16))
    with running([python, TARGETS / "harm_server.py", kind, longest], env=env) as target:
        port = int(target.wait_for("ready").split()[1])
        with running([sys.executable, LOAD, str(port), str(connections), str(PAUSE)]) as load:
            load.wait_for("ready")
            server = Server(target, load, port, longest)
            while not server.told().latencies:
                time.sleep(0.01)
            server.longest_gap()
            yield server
