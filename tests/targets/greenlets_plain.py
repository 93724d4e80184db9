"""Greenlets of every kind without gevent; says of each what is true of it. Runs on CPython 2.7 and 3.6 to 3.15.

`facts`: one JSON object for each greenlet that lives, told from inside; then `ready`, and it reads a line.
"""

import functools
import gc
import json
import os
import sys
import threading

import greenlet

KEEP = []
THREADS = {}  # by the id of its main greenlet, what the thread calls itself
MAINS = set()  # also those of threads that a fork did not take along
WAITS = {}  # by id of the greenlet: kind, id of the target, whether it ends by itself; none: somebody has to switch
HOLDS = []  # (id of the greenlet, id of the lock, whether that can be told for certain)
HUBS = ()  # gevent's class of them
# gevent's classes have words of their own for these
DEAD = greenlet.greenlet.dead.__get__
IS_ACTIVE = getattr(greenlet.greenlet, "__bool__", None) or greenlet.greenlet.__nonzero__


class Mine(greenlet.greenlet):
    name = None


class Runs(Mine):
    def run(self, *_):
        wait_here()


class WithSlots(greenlet.greenlet):
    __slots__ = ("more",)


def make(kind, function, name=None, parent=None):
    made = kind(function, parent) if parent is not None else kind(function)
    if name is not None:
        made.name = name
    KEEP.append(made)
    return made


def wait_here(*_):
    back = greenlet.getcurrent().parent
    return back.switch()


def deep(depth):
    return wait_here() if depth == 0 else deep(depth - 1)


def through_c(*_):
    return sorted([2, 1], key=lambda number: wait_here() or number)


def through_generator(*_):
    def numbers():
        yield wait_here()

    return list(numbers())


def catches(*_):
    try:
        raise ValueError("one that is handled")
    except ValueError:
        return wait_here()
    finally:
        wait_here()


def nested(*_):
    """A greenlet that runs another by hand, which waits for its grandparent."""
    inner = make(greenlet.greenlet, lambda: greenlet.getcurrent().parent.parent.switch(), "inner")
    return inner.switch()


def ends(*_):
    return "over"


def start_all(prefix):
    for kind in (greenlet.greenlet, Mine):
        for function in (wait_here, through_c, through_generator, catches, nested):
            make(kind, function, prefix + function.__name__ if kind is Mine else None).switch()
    for depth in (10, 60, 200):
        make(greenlet.greenlet, functools.partial(deep, depth)).switch()
    runs = Runs()
    runs.name = prefix + "runs"
    KEEP.append(runs)
    runs.switch()
    make(greenlet.greenlet, wait_here)
    make(Mine, ends, prefix + "over").switch()
    make(WithSlots, wait_here).switch()
    make(greenlet.greenlet, wait_here, parent=KEEP[-1])
    killed = make(Mine, wait_here, prefix + "killed")
    killed.switch()
    killed.throw()


def in_thread(started, go_on):
    know_thread()
    start_all("thread: ")
    started.set()
    go_on.wait()


def know_thread():
    KEEP.append(main_of(greenlet.getcurrent()))
    MAINS.add(id(KEEP[-1]))
    THREADS[id(KEEP[-1])] = (getattr(threading, "get_ident", None) or threading._get_ident)()


def forget_threads():
    """Those that a fork did not take along."""
    here = id(main_of(greenlet.getcurrent()))
    for key in [key for key in THREADS if key != here]:
        del THREADS[key]


def main_of(one):
    while one.parent is not None:
        one = one.parent
    return one


def switch_often():
    """Round and round at different depths, so that C stacks lie over each other and are saved in slices."""
    ring = [greenlet.greenlet(lambda n=number: spin(n)) for number in range(5)]
    KEEP.extend(ring)
    for _ in range(7):
        for one in ring:
            one.switch()


def spin(number):
    def down(depth):
        while True:
            if depth:
                sorted([1], key=lambda _: down(depth - 1))
            greenlet.getcurrent().parent.switch()

    down(number)


def describe(one, current):
    frame = one.gr_frame if one is not current else sys._getframe(1)
    return {
        "address": id(one),
        "type": type(one).__module__ + "." + type(one).__name__,
        "dead": DEAD(one),
        "started": IS_ACTIVE(one) or DEAD(one),
        "parent": id(one.parent) if one.parent is not None else None,
        "name": name_of(one),
        "running": one is current,
        "elsewhere": frame is None,
        "is_main": id(one) in MAINS,
        "is_hub": isinstance(one, HUBS),
        "main": id(main_of(one)),
        "stack": [[f.f_code.co_name, f.f_code.co_filename, f.f_lineno] for f in walk(frame)],
    }


def name_of(one):
    if hasattr(one, "minimal_ident") and not isinstance(one, HUBS):
        return one.name
    return one.__dict__.get("name") if hasattr(one, "__dict__") else None


def walk(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back


def tell():
    tell_facts()
    os.read(0, 1)


def tell_facts():
    """Line numbers are told of frames that stand still; those of this one and its caller are of no use."""
    gc.collect()
    current = greenlet.getcurrent()
    found = [describe(one, current) for one in gc.get_objects() if isinstance(one, greenlet.greenlet)]
    facts = {"greenlets": found, "threads": THREADS, "pid": os.getpid()}
    facts.update(waits=WAITS, holds=HOLDS, gevent="gevent" in sys.modules)
    sys.stdout.write("facts %s\n" % json.dumps(facts))
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main(where):
    know_thread()
    start_all("")
    switch_often()
    threads = [threading.Event(), threading.Event()]
    thread = threading.Thread(target=in_thread, args=threads)
    thread.daemon = True
    thread.start()
    threads[0].wait()
    if where == "inside":
        make(greenlet.greenlet, tell).switch()
    elif where == "forked":
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        else:
            forget_threads()
            tell()
    else:
        tell()


if __name__ == "__main__":
    main(sys.argv[1])
