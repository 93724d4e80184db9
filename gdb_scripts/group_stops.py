"""Processes that SIGSTOP, or a terminal's Ctrl-Z, has stopped: gdb leaves them so until SIGCONT comes.

gdb sees each such signal twice: on its way to the process, and once more from each thread that it has stopped. A
thread that gdb lets go on from there runs, although its process is stopped (ptrace(2), "Group-stop"); and SIGCONT
wakes no thread that is traced: it waits to be delivered. So the threads are held as long as no SIGCONT is pending.
Python 3.6 and newer (gdb's own).
"""

import pathlib
import signal
import threading
import time
from typing import Callable, Dict, Set

import gdb

STOPS = ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU")
LOOK_SECONDS = 0.02
# A stop that not every thread has obeyed by then was ended by a SIGCONT that one of them has taken already.
HALF_STOPPED_SECONDS = 0.5
SIGCONT_PENDING = 1 << (signal.SIGCONT - 1)


def is_on_its_way() -> bool:
    """Whether the signal of the selected thread is yet to be delivered: a thread that it has stopped has no siginfo."""
    try:
        int(gdb.parse_and_eval("$_siginfo.si_signo"))
    except gdb.error:
        return False
    return True


class GroupStops:
    """The threads that stand still because their process is stopped, by pid, and since when."""

    def __init__(self, post: "Callable[[Callable[[], None]], None]") -> None:
        self.post = post
        self.threads: Dict[int, "Set[gdb.InferiorThread]"] = {}
        self.since: Dict[int, float] = {}
        self.some = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def handle(self, thread: "gdb.InferiorThread") -> None:
        """Pass a signal of STOPS on, or hold the thread that it has stopped."""
        if is_on_its_way():
            gdb.execute("continue &", to_string=True)
            return
        pid = thread.ptid[0]
        self.threads.setdefault(pid, set()).add(thread)
        self.since.setdefault(pid, time.monotonic())
        self.some.set()

    def resume(self, pid: int) -> None:
        """Let the threads of a process go on."""
        self.since.pop(pid, None)
        for thread in self.threads.pop(pid, ()):
            if thread.is_valid() and thread.is_stopped():
                thread.switch()
                gdb.execute("continue &", to_string=True)

    def _watch(self) -> None:
        while self.some.wait():
            time.sleep(LOOK_SECONDS)
            for pid, since in list(self.since.items()):
                if is_continued(pid):
                    self.post(lambda pid=pid: self.resume(pid))  # type: ignore[misc]
                elif time.monotonic() - since > HALF_STOPPED_SECONDS:
                    self.post(lambda pid=pid: self._resume_half_stopped(pid))  # type: ignore[misc]
            if not self.since:
                self.some.clear()

    def _resume_half_stopped(self, pid: int) -> None:
        inferior = next((one for one in gdb.inferiors() if one.pid == pid), None)
        if inferior is None or any(thread.is_running() for thread in inferior.threads()):
            self.resume(pid)
        elif pid in self.since:
            self.since[pid] = time.monotonic()


def is_continued(pid: int) -> bool:
    """Whether SIGCONT waits to be delivered to the process, or it is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return True
    pending = next(line.split()[1] for line in lines if line.startswith("ShdPnd:"))
    return bool(int(pending, 16) & SIGCONT_PENDING)
