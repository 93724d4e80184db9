"""Let every process go and end gdb: when lastwords asks for it, is gone, or answers no more.

gdb's own ways out (quit, TERM, HUP) detach while threads run, and in non-stop mode gdb was seen to hang or to crash
in them with the program still held. So all threads are stopped first; a process is detached when each of its threads
stands still; and at the end gdb has nothing left to do. Python 3.6 and newer (gdb's own).
"""

import os
import signal
import threading
import time
from typing import Callable, Set

import gdb

SIGNALS = (signal.SIGHUP, signal.SIGTERM)  # blocked in every thread of gdb: lastwords starts it so
STOP_SECONDS = 2.0  # then a process is detached although a thread of it did not stop
GIVE_UP_SECONDS = 6.0  # then gdb ends, whatever it still holds: the kernel lets it go
STEP_SECONDS = 0.1


class Departure:
    """The way out; `begun` once it is taken. `emit` tells lastwords."""

    def __init__(self, emit: "Callable[..., None]") -> None:
        self.emit = emit
        self.begun = False
        self.forking: "Set[int]" = set()  # tids that stand at a fork whose child gdb has not taken over yet
        threading.Thread(target=self._wait_for_signal, daemon=True).start()

    def begin(self, reason: str) -> None:
        """From any thread, any number of times."""
        gdb.post_event(lambda: self._begin(reason))

    def _begin(self, reason: str) -> None:
        if not self.begun:
            self.begun = True
            self.emit(event="leaving", reason=reason)
            threading.Thread(target=self._hurry, daemon=True).start()

    def _wait_for_signal(self) -> None:
        number = signal.sigwait(SIGNALS)
        self.begin("{} was sent to gdb".format(signal.Signals(number).name))

    def _hurry(self) -> None:
        """In a thread of its own: gdb's main thread must get to its events between two steps."""
        start = time.monotonic()
        while time.monotonic() < start + GIVE_UP_SECONDS:
            late = time.monotonic() > start + STOP_SECONDS
            gdb.post_event(lambda late=late: self._step(late))  # type: ignore[misc]
            time.sleep(STEP_SECONDS)
        os._exit(1)

    def _step(self, late: bool) -> None:
        """Detach what stands still, stop what runs; end when nothing is left."""
        held = [inferior for inferior in gdb.inferiors() if inferior.pid]
        for inferior in held:
            if late or stands_still(inferior, self.forking):
                attempt("detach inferiors {}".format(inferior.num))
            else:
                attempt("interrupt -a")
        if not held:
            self.emit(event="left")  # capture/keeper.py waits for it: a crash does not say so
            os._exit(0)  # gdb's own end crashes where a Python thread waits


def stands_still(inferior: gdb.Inferior, forking: "Set[int]") -> bool:
    """Whether it can be detached now: no thread of it runs, none is in the middle of a fork."""
    return not any(thread.is_running() or thread.ptid[1] in forking for thread in inferior.threads())


def attempt(command: str) -> None:
    """A process may end at any moment: then gdb has lost nothing."""
    try:
        gdb.execute(command, to_string=True)
    except (gdb.error, RuntimeError):
        return
