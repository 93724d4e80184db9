# -*- coding: utf-8 -*-
"""Threads of every kind, which tell who they are: of threading, of thread alone, one that leaves, one that is gone."""

import ctypes
import json
import os
import platform
import sys
import threading

try:
    import _thread
except ImportError:
    import thread as _thread

GETTID, EXIT = (186, 60) if platform.machine() == "x86_64" else (178, 93)
syscall = ctypes.CDLL(None).syscall
told = {}
ready = threading.Semaphore(0)
blocked = _thread.allocate_lock()
blocked.acquire()
local = threading.local()


class Blocks(object):
    """Blocks the thread that it dies in."""

    def __del__(self, tell=ready.release, block=blocked.acquire):
        tell()
        block()


def tell(kind):
    me = None if kind in ("raw", "vanishes") else threading.current_thread()
    told[str(_thread.get_ident())] = {
        "tid": syscall(GETTID),
        "kind": kind,
        "name": me and me.name,
        "daemon": me and me.daemon,
    }


def wait(kind):
    tell(kind)
    ready.release()
    blocked.acquire()


def leave():
    local.value = Blocks()
    tell("leaves")


def vanish():
    """Ends like pthread_exit() ends a thread: Python's own state of it stays behind."""
    tell("vanishes")
    ready.release()
    syscall(EXIT, 0)


def start():
    daemon = threading.Thread(target=wait, args=("thread",), name="zwölf" if sys.version_info[0] > 2 else "zwoelf")
    daemon.daemon = True
    for thread in (daemon, threading.Thread(target=wait, args=("thread",)), threading.Thread(target=leave)):
        thread.start()
    _thread.start_new_thread(wait, ("raw",))
    _thread.start_new_thread(vanish, ())
    for _ in range(5):
        ready.acquire()
    if hasattr(ctypes.pythonapi, "PyInterpreterState_Head"):
        head, new = ctypes.pythonapi.PyInterpreterState_Head, ctypes.pythonapi.PyThreadState_New
        head.restype = new.restype = ctypes.c_void_p
        new.argtypes = [ctypes.c_void_p]
        told["new"] = new(head())


if __name__ == "__main__":
    start()
    tell("main")
    sys.stdout.write("facts " + json.dumps(told) + "\nready\n")
    sys.stdout.flush()
    os.read(0, 1)
