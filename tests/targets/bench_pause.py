"""Threads in C, Python and waits, and a heap: `bench_pause.py THREADS MEGABYTES FILE`. It says "ready". 2.7 and up.

A third of the threads waits for a lock below a C function that calls back, a third in poll, a third sleeps; each ten
calls deep. One more ticks, and keeps in FILE the longest time in seconds between two ticks (a double), then their
number. Whoever writes zeros there begins anew.
"""
import functools
import gc
import mmap
import select
import struct
import sys
import threading
import time

threading.stack_size(256 * 1024)
lock = threading.Lock()
lock.acquire()
clock = getattr(time, "monotonic", time.time)
started = threading.Semaphore(0)


def wait_in_callback():
    functools.reduce(lambda *_: lock.acquire(), [1, 2])


WAYS = (wait_in_callback, lambda: select.poll().poll(), lambda: time.sleep(100000))


def descend(depth, wait):
    if depth:
        return descend(depth - 1, wait)
    started.release()
    return wait()


def tick(longest):
    last = clock()
    while True:
        time.sleep(0.0002)
        now = clock()
        gap, ticks = struct.unpack_from("dq", longest)
        struct.pack_into("dq", longest, 0, max(gap, now - last), ticks + 1)
        last = now


def fill(megabytes):
    """As a server has them: records of a text and a dictionary, 4 kB each."""
    gc.disable()
    records = [["%d" % (10 ** 11 + number) * 300, {"key": number}] for number in range(megabytes * 260)]
    gc.enable()
    return records


heap = fill(int(sys.argv[2]))
others = [threading.Thread(target=descend, args=(10, WAYS[number % 3])) for number in range(int(sys.argv[1]) - 2)]
for thread in others:
    thread.daemon = True
    thread.start()
for _ in others:
    started.acquire()
with open(sys.argv[3], "r+b") as file:
    ticking = threading.Thread(target=tick, args=(mmap.mmap(file.fileno(), 16),))
ticking.daemon = True
ticking.start()
sys.stdout.write("ready\n")
sys.stdout.flush()
lock.acquire()
