"""Threads that wait for one lock, each called by other C code; and one of C alone, which knows no Python."""

from __future__ import print_function

import ctypes
import re
import signal
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
lock = threading.Lock()
lock.acquire()
arrived = threading.Semaphore(0)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)


def wait(*_):
    arrived.release()
    lock.acquire()
    return 0


def in_sorted():
    sorted([2, 1], key=wait)


def in_re():
    re.sub("a", wait, "aaa")


def in_map():
    list(map(wait, [1]))


def in_qsort():
    libc.qsort((ctypes.c_int * 2)(2, 1), 2, 4, compare)


def in_generator():
    def numbers():
        wait()
        yield 1

    sum(numbers())


def in_signal():
    libc.signal(signal.SIGUSR1, handler)
    getattr(libc, "raise")(signal.SIGUSR1)


compare, handler = COMPARE(wait), HANDLER(wait)
kinds = [wait, in_sorted, in_re, in_map, in_qsort, in_generator, in_signal]
for kind in kinds:
    thread = threading.Thread(target=kind, name=kind.__name__)
    thread.daemon = True
    thread.start()
for kind in kinds:
    arrived.acquire()

stranger = ctypes.c_ulong()
function = ctypes.cast(libc.pause, ctypes.c_void_p)
libc.pthread_create(ctypes.byref(stranger), None, function, None)

print("ready")
sys.stdout.flush()
wait()
