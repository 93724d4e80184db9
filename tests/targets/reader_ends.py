"""Stops on its way out: in threading._shutdown, in an atexit callback, or when its modules are taken apart."""

import atexit
import os
import sys
import threading


def say_and_wait(say=os.write, wait=os.read):
    say(1, b"ready\n")
    wait(0, 1)


class Kept(object):
    def __del__(self, stop=say_and_wait):
        stop()


if sys.argv[1] == "thread":
    threading.Thread(target=lambda: (getattr(threading, "_main_thread", None), say_and_wait())).start()
elif sys.argv[1] == "atexit":
    atexit.register(say_and_wait)
else:
    kept = Kept()
