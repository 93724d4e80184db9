"""Swallows exceptions in every way; `== NAME` on stderr before each, and NAME is what the exception says."""

import atexit
import gc
import os
import sys
import threading
import weakref

try:
    import _thread
except ImportError:
    import thread as _thread
try:
    import ctypes
except ImportError:
    ctypes = None


def say(name, flush=sys.stderr.flush, write=os.write, error=ValueError):
    try:
        flush()
    except error:  # closed: the interpreter is on its way out
        pass
    write(2, ("== %s\n" % name).encode())


class Deleted(object):
    def __init__(self, name):
        self.name = name

    def __del__(self, say=say, error=ValueError):
        say(self.name)
        raise error(self.name)


class BadRepr(Deleted):
    def __call__(self, reference):
        raise KeyError("repr")

    def __repr__(self):
        raise TypeError("no repr")

    def __del__(self):
        pass


class BadText(Exception):
    def __str__(self):
        raise TypeError("no text")


def fails(*arguments):
    raise ValueError("callback")


def generates():
    try:
        yield
    except GeneratorExit:
        pass
    raise ValueError("generator")


def collected(phase, info):
    if phase == "start":
        raise ValueError("gc")


def deleted():
    Deleted("del")


def weak_callback():
    kept = Deleted
    kept = type("Kept", (object,), {})()
    reference = weakref.ref(kept, fails)
    say("callback")
    del kept
    assert reference() is None


def bad_repr():
    kept = type("Kept", (object,), {})()
    reference = weakref.ref(kept, BadRepr(""))
    say("repr")
    del kept
    assert reference() is None


def bad_text():
    class Unspoken(object):
        def __del__(self):
            raise BadText("text")

    say("text")
    Unspoken()


def generator():
    generated = generates()
    next(generated)
    say("generator")
    del generated


def collection():
    if not hasattr(gc, "callbacks"):
        return
    gc.callbacks.append(collected)
    say("gc")
    gc.collect()
    gc.callbacks.remove(collected)


def in_thread():
    """What is printed comes before the end of the thread, which only the kernel tells."""

    def started():
        raise ValueError("thread")

    say("thread")
    _thread.start_new_thread(started, ())
    while len(os.listdir("/proc/self/task")) > 1:
        pass


def in_second_thread():
    thread = threading.Thread(target=Deleted, args=("second",), name="second")
    thread.start()
    thread.join()


def ctypes_callback():
    if ctypes is None:
        return
    say("ctypes")

    def called():
        raise ValueError("ctypes")

    ctypes.CFUNCTYPE(None)(called)()


def failing_hook():
    if not hasattr(sys, "unraisablehook"):
        return

    def hook(unraisable):
        say("hook")
        raise ValueError("hook")

    sys.unraisablehook = hook
    Deleted("hooked")
    sys.unraisablehook = sys.__unraisablehook__


def delegating_hook():
    if not hasattr(sys, "unraisablehook"):
        return

    def hook(unraisable):
        sys.__unraisablehook__(unraisable)

    sys.unraisablehook = hook
    Deleted("delegated")
    sys.unraisablehook = sys.__unraisablehook__


def at_exit():
    say("atexit")
    raise ValueError("atexit")


def thread_object():
    class Exporter(threading.Thread):
        def failing(self, reference):
            raise ValueError("exporter")

    kept = type("Kept", (object,), {})()
    reference = weakref.ref(kept, Exporter(name="exporter").failing)
    say("exporter")
    del kept
    assert reference() is None


deleted()
weak_callback()
bad_repr()
bad_text()
generator()
collection()
in_thread()
in_second_thread()
ctypes_callback()
failing_hook()
delegating_hook()
thread_object()
atexit.register(at_exit)
kept = Deleted("finalizing")
sys.kept = Deleted("teardown")
