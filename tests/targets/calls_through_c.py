"""Threads that block in Python code which C code called, each in its own way; they tell their own Python frames.

argv: a directory with the extension module `calls_back`, if there is one. Says `frames {json}`, then `ready`.
"""

import ctypes
import functools
import json
import os
import re
import sys
import threading

LOCK = threading.Lock()
FRAMES = {}
KINDS = []
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
START = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
LIBC = ctypes.CDLL(None)
KEPT = []


def kind(function):
    KINDS.append(function)
    return function


def block(*_arguments):
    frame, frames = sys._getframe(), []
    while frame is not None:
        frames.append([frame.f_code.co_name, frame.f_lineno])
        frame = frame.f_back
    FRAMES[getattr(KIND, "name", "from C")] = frames
    LOCK.acquire()


KIND = threading.local()


@kind
def ctypes_callback():
    array = (ctypes.c_int * 4)(4, 3, 2, 1)
    LIBC.qsort(array, 4, 4, COMPARE(lambda one, other: block()))


@kind
def key_of_sorted():
    sorted([1, 2], key=block)


@kind
def reduced():
    functools.reduce(block, [1, 2])


@kind
def replaced():
    re.sub("a+", lambda match: block(), "xaax")


@kind
def generators():
    def inner():
        yield 1
        yield block()

    def outer():
        for one in inner():
            yield one

    list(outer())


@kind
def summed():
    sum(block() or one for one in [1, 2])


@kind
def thrown_into():
    def catches():
        try:
            yield 1
        except KeyError:
            block()

    generator = catches()
    next(generator)
    generator.throw(KeyError("thrown"))


class Finalized(object):
    def __del__(self):
        block()


@kind
def finalizer():
    held = [Finalized()]
    del held[:]


@kind
def mapped_and_filtered():
    list(map(str, filter(block, [1, 2])))


@kind
def json_hook():
    json.loads('{"a": [1, {"b": 2}]}', object_hook=block)


@kind
def json_default():
    json.dumps([object()], default=block)


class Meta(type):
    def __call__(cls, *arguments):
        return type.__call__(cls, *arguments)


class Made(Meta("Base", (object,), {})):
    def __init__(self):
        self.value

    @property
    def value(self):
        return block()


@kind
def made_by_metaclass():
    Made()


class Awkward(object):
    def __eq__(self, other):
        return block()

    __hash__ = None

    def __getattr__(self, name):
        return [1, 2].index(self)


@kind
def compared():
    Awkward().missing


@kind
def executed():
    exec("eval('block()')", {"block": block})


@kind
def entered_by_with():
    class Context(object):
        def __enter__(self):
            block()

        def __exit__(self, *_arguments):
            pass

    with Context():
        pass


@kind
def started_by_c():
    start = START(block)
    identity = ctypes.c_ulong()
    KEPT.append(start)
    LIBC.pthread_create(ctypes.byref(identity), None, start, None)
    block()


@kind
def by_extension():
    through = KEPT[0].through
    through(lambda: through(block, 0), 3)


COROUTINE = """
async def innermost():
    block()

async def outer():
    await innermost()

def drive():
    outer().send(None)
"""


@kind
def awaited():
    names = {"block": block}
    exec(COROUTINE, names)
    names["drive"]()


class Finder(object):
    """An import hook of any Python. It keeps the import lock, so it comes last."""

    def find_spec(self, name, path=None, target=None):
        return block() if name == "module_that_is_not" else None

    find_module = find_spec


@kind
def import_hook():
    sys.meta_path.insert(0, Finder())
    import module_that_is_not  # noqa: F401


def run(function):
    KIND.name = function.__name__
    function()


def main():
    kinds = list(KINDS)
    if sys.version_info < (3,):
        kinds.remove(awaited)
    if len(sys.argv) > 1:
        sys.path.insert(0, sys.argv[1])
        KEPT.append(__import__("calls_back"))
    else:
        kinds.remove(by_extension)
    LOCK.acquire()
    threads = [threading.Thread(target=run, args=(one,)) for one in kinds]
    for number, (thread, one) in enumerate(zip(threads, kinds), 1):
        thread.name = one.__name__
        thread.daemon = True
        thread.start()
        wait_until_all(number + (started_by_c in kinds[:number]))
    print("frames " + json.dumps(FRAMES))
    print("ready")
    sys.stdout.flush()
    sys.stdin.readline()
    os._exit(0)


def wait_until_all(count):
    while len(FRAMES) < count:
        pass


if __name__ == "__main__":
    main()
