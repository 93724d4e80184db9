"""Gets signals: `harm_signals.py LIBRARY` (harm_signals.c). For a line "N", that many were queued, it tells of them.

It says "ready QUEUED": the signal's number that it counts by its value. 3.6 and up.
"""
import ctypes
import json
import signal
import sys
import threading

library = ctypes.CDLL(sys.argv[1])
QUEUED, TICK = signal.SIGRTMIN + 1, signal.SIGRTMIN + 2
FACTS = ("queued_lost", "queued_doubled", "ticks", "ticks_lost", "ticks_doubled", "children", "children_lost")


def work():
    while True:
        sum(range(1000))


for target in (work, threading.Event().wait, threading.Event().wait):
    threading.Thread(target=target, daemon=True).start()
library.begin(int(QUEUED), int(TICK))
sys.stdout.write("ready %d\n" % QUEUED)
sys.stdout.flush()
sent = int(sys.stdin.readline())
told = (ctypes.c_long * len(FACTS))()
library.tell(ctypes.c_long(sent), told)
sys.stdout.write("told %s\n" % json.dumps(dict(zip(FACTS, told))))
sys.stdout.flush()
