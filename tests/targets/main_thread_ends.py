"""Its main thread ends alone, as pthread_exit(3) ends one; "waiter" waits for a lock that nobody gives back.

"reader" ends the process with 7 when it is told a line.
"""

import ctypes
import os
import sys
import threading

EXIT = 60  # __NR_exit, of x86-64

lock = threading.Lock()
lock.acquire()


def read():
    sys.stdin.readline()
    os._exit(7)


def wait():
    with lock:
        pass


for name, run in (("waiter", wait), ("reader", read)):
    threading.Thread(target=run, name=name).start()
sys.stdout.write("ready\n")
sys.stdout.flush()
ctypes.CDLL(None).syscall(EXIT, 0)
