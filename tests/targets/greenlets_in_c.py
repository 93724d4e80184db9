"""A greenlet that is parked in C frames that are known: of the extension module `calls_back`, and of ctypes.

argv: the directory with the extension, if there is one. Says its address and `ready`; after a line the greenlet runs,
waits where it was parked, and says `runs`. Runs on CPython 2.7 and 3.6 to 3.15.
"""

import ctypes
import os
import sys

import greenlet

sys.path[:0] = sys.argv[1:]
try:
    import calls_back
except ImportError:
    calls_back = None

DEPTH = 5


def say(word):
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def park():
    greenlet.getcurrent().parent.switch()
    say("runs")
    os.read(0, 1)


def by_ctypes():
    ctypes.CFUNCTYPE(None)(park)()


def by_extension():
    calls_back.through(by_ctypes, DEPTH) if calls_back else by_ctypes()


def by_sorted():
    sorted([2, 1], key=lambda _: by_extension())


parked = greenlet.greenlet(by_sorted)
parked.switch()
say("greenlet %d" % id(parked))
say("ready")
os.read(0, 1)
parked.switch()
