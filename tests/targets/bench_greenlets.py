"""As many greenlets as it is told, each waiting nine Python frames deep; "ready" when all of them do.

With a third argument it has a heap of that many megabytes more. What it is told on stdin:

    dump  it formats all greenlets itself, by gevent, and says how many seconds that took
    tick  from now on a thread beside them ticks and keeps in a file, the second argument, how long it stood still, as
          bench_threads.py does
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


def dump():
    begun = time.time()
    lines = format_run_info()
    return "dumped %r %d" % (time.time() - begun, len(lines))


def start_ticking():
    ticking = threading.Thread(target=tick, args=(sys.argv[2],))
    ticking.daemon = True
    ticking.start()
    return "ticking"


def answer():
    orders = {"dump": dump, "tick": start_ticking}
    order = sys.stdin.readline().strip()
    while order in orders:
        sys.stdout.write(orders[order]() + "\n")
        sys.stdout.flush()
        order = sys.stdin.readline().strip()


if __name__ == "__main__":
    heap = make_heap(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    tasks = [gevent.spawn(task) for _ in range(int(sys.argv[1]))]
    gevent.sleep(0)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    answer()
