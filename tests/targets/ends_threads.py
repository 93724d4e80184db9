"""Threads that end by an exception: NAME is what it says, and `== NAME` on stderr before it."""

import os
import sys
import threading


def say(name):
    os.write(2, ("== %s\n" % name).encode())


def run(target, **options):
    thread = threading.Thread(target=target, **options)
    thread.start()
    thread.join()


def fails():
    say("plain")
    raise ValueError("plain")


def fails_with_hook():
    say("hooked")
    raise ValueError("hooked")


def fails_with_broken_hook():
    say("original")
    raise ValueError("original")


class Subclass(threading.Thread):
    def run(self):
        say("subclass")
        raise ValueError("subclass")


def hook(arguments):
    os.write(2, ("own: %s\n" % arguments.exc_value).encode())


def broken_hook(arguments):
    say("broken")
    raise ValueError("broken")


run(fails, name="worker")
thread = Subclass()
thread.start()
thread.join()
run(sys.exit)
if hasattr(threading, "excepthook"):
    original = threading.excepthook
    threading.excepthook = hook
    run(fails_with_hook)
    threading.excepthook = broken_hook
    run(fails_with_broken_hook)
    threading.excepthook = original
