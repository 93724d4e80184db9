"""As many greenlets as it is told, each waiting nine Python frames deep; "ready" when all of them do.

With a file as second argument a thread beside them ticks and keeps there how long it stood still, as bench_threads.py
does. With a third argument it has a heap of that many megabytes more. "dump" on stdin: it formats all greenlets itself,
by gevent, and says how many seconds that took.
"""

import os
import sys
import threading
import time

import gevent
import gevent.event
from bench_threads import tick
from gevent.util import format_run_info

DEPTH = 7  # with task() and the call in which it waits, nine
release = gevent.event.Event()


def descend(depth):
    if depth:
        return descend(depth - 1)
    return release.wait()


def task():
    return descend(DEPTH)


def make_heap(megabytes):
    return [[bytes(bytearray(os.urandom(900))) for _ in range(1024)] for _ in range(megabytes)]


def answer():
    while sys.stdin.readline().strip() == "dump":
        begun = time.time()
        lines = format_run_info()
        sys.stdout.write("dumped %r %d\n" % (time.time() - begun, len(lines)))
        sys.stdout.flush()


if __name__ == "__main__":
    heap = make_heap(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    tasks = [gevent.spawn(task) for _ in range(int(sys.argv[1]))]
    gevent.sleep(0)
    if len(sys.argv) > 2:
        ticking = threading.Thread(target=tick, args=(sys.argv[2],))
        ticking.daemon = True
        ticking.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    answer()
