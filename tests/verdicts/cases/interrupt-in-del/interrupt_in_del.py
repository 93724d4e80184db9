"""Ctrl-C arrives while __del__ runs."""
import os
import signal


class Slow(object):
    def __del__(self):  # <-
        os.kill(os.getpid(), signal.SIGINT)  # <-
        for _ in range(1000):  # <-
            pass


Slow()
