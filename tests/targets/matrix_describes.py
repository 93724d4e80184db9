"""Threads that wait in different ways and hold locks; told to by a line, says of itself what a reader should find.

"ready" when all threads are on their way into their waits. Whoever sees them asleep sends a line, and gets "facts ".
"""

import json
import os
import sys
import threading
import time

from reader_describes import describe_frames

first = threading.Lock()
second = threading.RLock()
silent, _kept_open = os.pipe()
in_first, in_second = threading.Event(), threading.Event()


class Plain(object):
    def method(self, call):
        return [call() for _ in range(1)]


def read_pipe():
    os.read(silent, 1)


def take_first():
    with first:
        raise AssertionError("it is held")


def hold_first():
    in_second.wait()
    with first:
        in_first.set()
        sorted([1], key=lambda _: Plain().method(read_pipe))


def hold_second():
    with second:
        with second:
            in_second.set()
            in_first.wait()
            take_first()


def sleep():
    in_first.wait()
    time.sleep(100000)


def start(function):
    name = "thr\u00e9ad " if str is not bytes else "thread "
    thread = threading.Thread(target=function, name=name + function.__name__)
    thread.daemon = function is not tell
    thread.start()
    return thread


def tell():
    """Of all but itself, which is not asleep."""
    sys.stdin.readline()
    me = threading.current_thread().ident
    main, holder, sleeper = (threads[name].ident for name in ("main", "hold_second", "sleep"))
    facts = {
        "version": ".".join(str(part) for part in sys.version_info[:3]),
        "build": sys.version,
        "modules": list(sys.modules),
        "stacks": {ident: describe_frames(frame) for ident, frame in sys._current_frames().items() if ident != me},
        "threads": {ident: [one.name, one.daemon] for ident, one in threading._active.items()},
        "locks": {id(first): ["lock", True, None], id(second): ["rlock", True, holder]},
        "waits": {main: ["io", None], holder: ["lock", id(first)], sleeper: ["sleep", None]},
        "holds": {main: [id(first)], holder: [id(second)], sleeper: []},
    }
    sys.stdout.write("facts " + json.dumps(facts) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


threading.stack_size(1 << 20)  # a core has all of it
threads = {"main": threading.current_thread()}
threads.update((function.__name__, start(function)) for function in (hold_second, sleep, tell))
sys.stdout.write("ready\n")
sys.stdout.flush()
hold_first()
