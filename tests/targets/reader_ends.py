"""Stops on its way out: in threading._shutdown, in an atexit callback, or when its modules are taken apart."""

import atexit
import os
import sys

if sys.argv[1] != "alone":
    import threading


def say_and_wait(say=os.write, wait=os.read):
    say(1, b"ready\n")
    wait(0, 1)


class Kept(object):
    def __del__(self, stop=say_and_wait):
        stop()


def work_in_pool():
    """concurrent.futures waits for its threads at the end: by atexit, from 3.9 on by threading._shutdown."""
    from concurrent.futures import ThreadPoolExecutor

    ThreadPoolExecutor(1).submit(say_and_wait)


if sys.argv[1] == "thread":
    threading.Thread(target=lambda: (getattr(threading, "_main_thread", None), say_and_wait())).start()
elif sys.argv[1] in ("atexit", "alone"):
    atexit.register(say_and_wait)
elif sys.argv[1] == "pool":
    work_in_pool()
else:
    locked = threading.Lock()
    locked.acquire()
    daemon = threading.Thread(target=locked.acquire)
    daemon.daemon = True
    daemon.start()
    kept = Kept()
