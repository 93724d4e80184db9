"""Two threads, each inside the lock that the other waits for; a third that sleeps, with locals worth reading."""

from __future__ import print_function

import sys
import threading
import time

first_lock, second_lock = threading.Lock(), threading.Lock()
in_first, in_second = threading.Event(), threading.Event()


def transfer(mine, other, inside, outside):
    with mine:
        inside.set()
        outside.wait()
        if threading.current_thread().name == "MainThread":
            print("ready")
            sys.stdout.flush()
        with other:
            print("never")


def nap(name, seconds=1000):
    numbers = [1, 2, 3]
    time.sleep(seconds)
    return numbers


threads = [
    threading.Thread(target=transfer, args=(second_lock, first_lock, in_second, in_first), name="worker-1"),
    threading.Thread(target=nap, args=("sleepy",), name="napper"),
]
for thread in threads:
    thread.daemon = True
    thread.start()
transfer(first_lock, second_lock, in_first, in_second)
