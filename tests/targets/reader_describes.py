# -*- coding: utf-8 -*-
"""Says about itself, from inside, what a reader should find from outside: stacks, modules, threads, exceptions."""

import json
import sys
import threading
import traceback


class Plain(object):
    def __init__(self):
        self.first = 1
        self.second = "two"


def block():
    sys.stdin.readline()


def generate():
    for number in range(2):
        yield [block() for _ in range(number + 1)]


def recurse(depth):
    return recurse(depth - 1) if depth else list(generate())


def raising():
    try:
        {}["a key"]
    except KeyError:
        raise ValueError("while handling", 1)  # noqa: B904 - 2.7 has no `from`


def handle(depth):
    try:
        raising()
    except ValueError:
        sys.last_type, sys.last_value, sys.last_traceback = sys.exc_info()
        if hasattr(sys, "last_exc"):
            sys.last_exc = sys.last_value
        facts["exception"] = describe_exception(*sys.exc_info())
        list(map(lambda deep: recurse(deep), [depth]))  # noqa: C417, PLW0108 - a lambda is one more frame


def describe_exception(of_type, value, tb):
    module = "" if of_type.__module__ in ("builtins", "exceptions") else of_type.__module__ + "."
    return {
        "type": module + of_type.__name__,
        "value": str(value),
        "traceback": [[entry[0], entry[1], entry[2], entry[3]] for entry in traceback.extract_tb(tb)][::-1],
        "context": describe_context(value),
    }


def describe_context(value):
    context = getattr(value, "__context__", None)
    return context and describe_exception(type(context), context, context.__traceback__)


def describe_frames(frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        entry = [code.co_filename, frame.f_lineno, code.co_name, getattr(code, "co_qualname", None)]
        positions = list(code.co_positions())[frame.f_lasti // 2] if hasattr(code, "co_positions") else (0, 0, None)
        entry.append(positions[2])
        frames.append(entry)
        frame = frame.f_back
    return frames


def describe_thread(thread):
    return [thread.name, type(thread).__module__ + "." + type(thread).__name__, thread.ident, thread.daemon]


def is_blocked(frame):
    """At the line of `block`, and not before it: there, too, another thread may get its turn."""
    return frame.f_code is block.__code__ and frame.f_lineno > block.__code__.co_firstlineno


def tell():
    """In a thread of its own: once the others block."""
    me = threading.current_thread().ident
    while not all(is_blocked(sys._current_frames()[ident]) for ident in idents):
        pass
    facts["stacks"] = {str(i): describe_frames(f) for i, f in sys._current_frames().items() if i != me}
    facts["active"] = {str(key): describe_thread(thread) for key, thread in threading._active.items()}
    facts["modules"] = list(sys.modules)
    facts["version"] = ".".join(str(part) for part in sys.version_info[:3])
    facts["build"] = sys.version
    facts["tid"] = threading.get_native_id() if hasattr(threading, "get_native_id") else None
    sys.stdout.write("facts " + json.dumps(facts) + "\nready\n")
    sys.stdout.flush()
    release.acquire()


if __name__ == "__main__":
    instances = [Plain(), Plain()]
    instances[1].__dict__["third"] = None
    facts = {"instances": [[id(one), [[key, repr(value)] for key, value in vars(one).items()]] for one in instances]}
    instances[1].__dict__["third"] = None
    release = threading.Lock()
    release.acquire()
    idents = [threading.current_thread().ident]
    other = threading.Thread(target=block, name="zwölf")
    other.daemon = True
    other.start()
    idents.append(other.ident)
    threading.Thread(target=tell).start()
    handle(int(sys.argv[1]))
