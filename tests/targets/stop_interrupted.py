"""Waits for so many seconds in each of the calls that can tell of an interruption, and in some that must not.

Tells for each what came of it: "ok" or the error, and how long it took. Meant for 2.7, which shows EINTR to programs.
"""
import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

SECONDS = float(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
TIMEVAL = struct.pack("ll", int(SECONDS), int(SECONDS % 1 * 1000000))
TIMESPEC = (ctypes.c_long * 2)(int(SECONDS), int(SECONDS % 1 * 1000000000))
outcomes = {}
ready = []


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def wait_for_signal():
    what = (ctypes.c_ulong * 16)(1 << (signal.SIGUSR2 - 1))
    libc.pthread_sigmask(0, what, None)
    try:
        check(libc.sigtimedwait(what, None, TIMESPEC))
    except OSError as error:
        if error.errno != 11:
            raise


def receive():
    one, _ = pair = socket.socketpair()
    kept.append(pair)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL)
    try:
        one.recv(1)
    except (OSError, socket.error) as error:
        if error.errno != 11:
            raise


def wait_on_semaphore():
    semaphores = libc.semget(0, 1, 0o600)
    check(semaphores)
    operation = (ctypes.c_short * 3)(0, -1, 0)
    try:
        check(libc.semtimedop(semaphores, operation, 1, TIMESPEC))
    except OSError as error:
        if error.errno != 11:
            raise
    finally:
        libc.semctl(semaphores, 0, 0)


def wait_for_child():
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        time.sleep(SECONDS)
        os._exit(0)
    os.waitpid(pid, 0)


def wait_on_futex():  # until the time, which is relative: the kernel must not begin it again
    word = ctypes.c_int(1)
    libc.syscall(202, ctypes.byref(word), 128, 1, TIMESPEC)


def write_much():  # more than a pipe takes: an interruption would show as a short write
    reader, writer = os.pipe()
    kept.append(reader)
    threading.Timer(SECONDS, drain, [reader]).start()
    written = os.write(writer, b"x" * 300000)
    if written != 300000:
        raise OSError(0, "only %d bytes written" % written)


def drain(reader):
    left = 300000
    while left:
        left -= len(os.read(reader, left))


kept = []
WAYS = {
    "epoll_wait": lambda: select.epoll().poll(SECONDS),
    "rt_sigtimedwait": wait_for_signal,
    "recvfrom": receive,
    "semtimedop": wait_on_semaphore,
    "write": write_much,
    "poll": lambda: select.poll().poll(SECONDS * 1000),
    "select": lambda: select.select([], [], [], SECONDS),
    "futex": wait_on_futex,
    "wait4": wait_for_child,
}


def run(name):
    start = time.time()
    try:
        WAYS[name]()
        outcomes[name] = ["ok", time.time() - start]
    except Exception as error:
        outcomes[name] = [repr(error), time.time() - start]


threads = [threading.Thread(target=run, args=(name,)) for name in WAYS]
for thread in threads:
    thread.start()
sys.stdout.write("ready\n")
sys.stdout.flush()
for thread in threads:
    thread.join()
sys.stdout.write("outcomes %s\n" % json.dumps(outcomes))
sys.stdout.flush()
