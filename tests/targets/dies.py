"""Dies of each fatal thing in a process of its own, with a second thread that waits: `NAME PID` on stdout."""

import ctypes
import os
import signal
import subprocess
import sys
import threading

try:
    import faulthandler
except ImportError:
    faulthandler = None


def waits(arrived, event):
    arrived.set()
    event.wait()


def start(target, *arguments):
    thread = threading.Thread(target=target, args=arguments)
    thread.daemon = True
    thread.start()
    return thread


def crash():
    ctypes.string_at(0)


def segfault():
    crash()


def segfault_in_thread():
    start(crash).join()


def fatal():
    ctypes.pythonapi.Py_FatalError(b"it is over")


def abort():
    os.abort()


def with_faulthandler():
    if faulthandler is not None:
        faulthandler.enable()
    crash()


def handled():
    """Not a finding: the program has handlers, sends itself these signals, and ends well."""
    got = []
    for number in (signal.SIGSEGV, signal.SIGTRAP, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL):
        signal.signal(number, lambda number, frame: got.append(number))
        os.kill(os.getpid(), number)
        while number not in got:  # the kernel may give it to the other thread first
            pass


WAYS = [segfault, segfault_in_thread, fatal, abort, with_faulthandler, handled]

if len(sys.argv) > 1:
    os.write(1, ("%s %d\n" % (sys.argv[1], os.getpid())).encode())
    arrived = threading.Event()
    start(waits, arrived, threading.Event())
    arrived.wait()
    globals()[sys.argv[1]]()
else:
    for way in WAYS:
        subprocess.call([sys.executable, os.path.abspath(__file__), way.__name__])
