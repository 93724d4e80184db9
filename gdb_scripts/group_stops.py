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
from typing import Callable, Dict, List, Set

import gdb

STOPS = ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU")
LOOK_SECONDS = 0.02
# A stop that not every thread has obeyed by then was ended by a SIGCONT that one of them has taken already.
HALF_STOPPED_SECONDS = 0.5
SIGCONT = int(signal.SIGCONT)
STOP_NUMBERS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
MASKS = ("ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:")


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
        self.threads: Dict[int, "List[gdb.InferiorThread]"] = {}
        self.since: Dict[int, float] = {}
        self.some = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def handle(self, thread: "gdb.InferiorThread") -> None:
        """Pass a signal of STOPS on, or hold the thread that it has stopped."""
        pid = thread.ptid[0]
        if is_on_its_way():
            gdb.execute("continue &", to_string=True)
            self.resume(pid)  # what an earlier signal has stopped takes part in this stop
            return
        self.threads.setdefault(pid, []).append(thread)
        self.since.setdefault(pid, time.monotonic())
        self.some.set()

    def resume(self, pid: int) -> None:
        """Let the threads of a process go on."""
        self.since.pop(pid, None)
        for thread in self.threads.pop(pid, ()):
            let_go_on(thread)

    def _watch(self) -> None:
        while self.some.wait():
            time.sleep(LOOK_SECONDS)
            for pid in list(self.since):
                self.post(lambda pid=pid: self._look(pid))  # type: ignore[misc]
            if not self.since:
                self.some.clear()

    def _look(self, pid: int) -> None:
        """Whether the process is still to be stopped."""
        if pid not in self.since:
            return
        waits = read_waiting_signals(pid)
        if SIGCONT in waits or self._is_half_stopped(pid):
            self.resume(pid)
        elif waits and self.threads[pid]:
            # SIGCONT came, and the next stop at once after it: one thread takes that one before it runs any code.
            let_go_on(self.threads[pid].pop())

    def _is_half_stopped(self, pid: int) -> bool:
        """Whether the stop is over although no SIGCONT waits, or the process is gone."""
        if time.monotonic() - self.since[pid] < HALF_STOPPED_SECONDS:
            return False
        self.since[pid] = time.monotonic()
        inferior = next((one for one in gdb.inferiors() if one.pid == pid), None)
        return inferior is None or any(thread.is_running() for thread in inferior.threads())


def let_go_on(thread: "gdb.InferiorThread") -> None:
    """A thread that is gone, or runs, needs nothing."""
    if thread.is_valid() and thread.is_stopped():
        thread.switch()
        gdb.execute("continue &", to_string=True)


def read_waiting_signals(pid: int) -> Set[int]:
    """SIGCONT and the signals that would stop the process, as far as they wait to be delivered to it."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {SIGCONT}
    masks = {name: int(words[0], 16) for name, *words in map(str.split, lines) if name in MASKS}
    pending = masks["ShdPnd:"]
    held_back = masks["SigBlk:"] | masks["SigIgn:"] | masks["SigCgt:"]
    stops = {number for number in map(int, STOP_NUMBERS) if pending & ~held_back & bit(number)}
    return stops | {SIGCONT} if pending & bit(SIGCONT) else stops


def bit(number: int) -> int:
    """The signal in a mask of /proc/PID/status."""
    return 1 << (number - 1)
