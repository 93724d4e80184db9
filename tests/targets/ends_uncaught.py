"""Ends by an exception in every way, each in a process of its own: `NAME PID` on stdout, `== NAME` on stderr.

NAME is what the exception says.
"""

import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))


def say(name):
    os.write(1, ("%s %d\n" % (name, os.getpid())).encode())
    os.write(2, ("== %s\n" % name).encode())


def by_default():
    raise ValueError("by_default")


def by_own_hook():
    def hook(kind, value, traceback):
        os.write(2, ("own: %s\n" % value).encode())

    sys.excepthook = hook
    raise ValueError("by_own_hook")


def by_broken_hook():
    def hook(kind, value, traceback):
        raise KeyError("broken")

    sys.excepthook = hook
    raise ValueError("by_broken_hook")


def by_exit():
    sys.exit(3)


def by_interrupt():
    raise KeyboardInterrupt("by_interrupt")


def as_module():
    raise ValueError("as_module")


def in_thread():
    def fails():
        raise ValueError("in_thread")

    thread = threading.Thread(target=fails, name="worker")
    thread.start()
    thread.join()


def in_thread_with_hook():
    def hook(arguments):
        os.write(2, ("own: %s\n" % arguments.exc_value).encode())

    def fails():
        raise ValueError("in_thread_with_hook")

    threading.excepthook = hook
    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()


def exit_in_thread():
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()


WAYS = [
    by_default,
    by_own_hook,
    by_broken_hook,
    by_exit,
    by_interrupt,
    in_thread,
    in_thread_with_hook,
    exit_in_thread,
]

if len(sys.argv) > 1:
    say(sys.argv[1])
    globals()[sys.argv[1]]()
else:
    for way in WAYS:
        subprocess.call([sys.executable, os.path.abspath(__file__), way.__name__])
    subprocess.call([sys.executable, "-m", "ends_uncaught", "as_module"], cwd=HERE)
    subprocess.call([sys.executable, "-c", "raise ValueError('by_command')"])
    say("at_last")
    raise ValueError("at_last")
