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
    KEEP.append(greenlet.getcurrent())
    MAINS.add(id(KEEP[-1]))
    THREADS[id(greenlet.getcurrent())] = (getattr(threading, "get_ident", None) or threading._get_ident)()


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


def describe(one):
    frame = one.gr_frame if one is not CURRENT else sys._getframe(1)
    return {
        "address": id(one),
        "type": type(one).__module__ + "." + type(one).__name__,
        "dead": one.dead,
        "started": bool(one) or one.dead,
        "parent": id(one.parent) if one.parent is not None else None,
        "name": one.__dict__.get("name") if hasattr(one, "__dict__") else None,
        "running": one is CURRENT,
        "is_main": id(one) in MAINS,
        "stack": [[f.f_code.co_name, f.f_code.co_filename, f.f_lineno] for f in walk(frame)],
    }


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
    found = [describe(one) for one in gc.get_objects() if isinstance(one, greenlet.greenlet)]
    main_of = {}
    for one in gc.get_objects():
        if isinstance(one, greenlet.greenlet):
            last = one
            while last.parent is not None:
                last = last.parent
            main_of[id(one)] = id(last)
    for fact in found:
        fact["main"] = main_of[fact["address"]]
    facts = {"greenlets": found, "threads": THREADS, "pid": os.getpid()}
    sys.stdout.write("facts %s\n" % json.dumps(facts))
    sys.stdout.write("ready\n")
    sys.stdout.flush()


CURRENT = greenlet.getcurrent()


def main(where):
    global CURRENT
    if where == "nothing":
        return
    know_thread()
    start_all("")
    switch_often()
    threads = [threading.Event(), threading.Event()]
    thread = threading.Thread(target=in_thread, args=threads)
    thread.daemon = True
    thread.start()
    threads[0].wait()
    if where == "inside":
        CURRENT = make(greenlet.greenlet, tell)
        CURRENT.switch()
    elif where == "forked":
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        else:
            THREADS.pop(next(key for key in THREADS if key != id(CURRENT)))
            tell()
    else:
        tell()


main(sys.argv[1])
