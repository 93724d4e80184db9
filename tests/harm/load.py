"""Constant, bounded load on a server of loopback: `load.py PORT CONNECTIONS PAUSE`, a process of its own.

For each line that it reads it says what came since the last one, as JSON: `latencies` in ms, and `failures` as text.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time

SECONDS = 10.0  # for one answer


class Load:
    """Connections that ask, get what they asked for, pause, and ask again."""

    def __init__(self, port: int, connections: int, pause: float) -> None:
        self.port, self.pause = port, pause
        self.latencies: list[float] = []
        self.failures: list[str] = []
        for number in range(connections):
            threading.Thread(target=self.ask_again_and_again, args=(number,), daemon=True).start()

    def ask_again_and_again(self, number: int) -> None:
        """One connection; a new one where it broke."""
        numbers = itertools.count()
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
                for asked in numbers:
                    self.ask(connection, f"/{number}/{asked}")
                    time.sleep(self.pause)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                time.sleep(0.1)

    def ask(self, connection: http.client.HTTPConnection, path: str) -> None:
        """Raises ValueError where the answer is another one."""
        begun = time.monotonic()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200 or path not in body:
            raise ValueError(f"{answer.status} {body!r}")
        self.latencies.append((time.monotonic() - begun) * 1000)

    def tell(self) -> str:
        """What came since this was asked last."""
        latencies, self.latencies = self.latencies, []
        failures, self.failures = self.failures, []
        return json.dumps({"latencies": [round(one, 3) for one in latencies], "failures": failures})


def main() -> None:
    """See above."""
    load = Load(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        print(f"told {number}: {load.tell()}", flush=True)


if __name__ == "__main__":
    main()
