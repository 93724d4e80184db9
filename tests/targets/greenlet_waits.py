"""Greenlets of gevent's that wait for things of every kind; says of each for what. Runs on CPython 2.7 to 3.15.

`plain` or `patched`; `facts`: one JSON object, told from inside; then `ready`, and it waits for ever.
"""

import sys

PATCHED = sys.argv[1] == "patched"
if PATCHED:
    from gevent import monkey

    monkey.patch_all()

import json
import os
import signal
import socket as native_socket
import threading

import gevent
import gevent.event
import gevent.lock
import gevent.queue
import gevent.socket
from gevent.hub import Waiter

try:
    import queue
except ImportError:
    import Queue as queue

WAITS = {}
HOLDS = []
KEEP = []
AHEAD = 1000.0


def wait(kind, target, function, *arguments, **more):
    """A greenlet that runs this and waits there; `target` is the object that it waits for, None for none."""
    made = gevent.spawn(function, *arguments)
    KEEP.append((made, target, arguments))
    WAITS[id(made)] = dict(kind=kind, target=None if target is None else id(target), timed=False, **more)
    return made


def timed(made, seconds):
    WAITS[id(made)].update(timed=True, seconds=seconds)


def inside(lock, function, *arguments):
    with lock:
        function(*arguments)


def hold(made, lock, certain):
    HOLDS.append([id(made), id(lock), certain])


def within(seconds, function):
    with gevent.Timeout(seconds):
        function()


def nest(depth, function):
    return nest(depth - 1, function) if depth else function()


def by_hand():
    gevent.getcurrent().parent.switch()


def plain():
    event, result = gevent.event.Event(), gevent.event.AsyncResult()
    first = wait("event", event, event.wait)
    wait("event", event, nest, 30, event.wait)
    wait("event", result, result.get)
    timed(wait("event", event, event.wait, AHEAD), AHEAD)
    timed(wait("event", event, within, AHEAD, event.wait), AHEAD)
    timed(wait("sleep", None, gevent.sleep, AHEAD), AHEAD)
    wait("join", first, first.join)
    wait("join", first, first.get)
    timed(wait("join", first, first.join, AHEAD), AHEAD)
    queues()
    locks(event)
    sockets()
    several(event, first)
    child()
    handle = gevent.signal_handler if hasattr(gevent, "signal_handler") else gevent.signal
    KEEP.append(handle(signal.SIGUSR2, len))
    wait("unknown", None, by_hand)
    timed(wait("unknown", None, within, AHEAD, by_hand), AHEAD)


def queues():
    empty, full, tasks = gevent.queue.Queue(), gevent.queue.Queue(1), gevent.queue.JoinableQueue()
    full.put(1)
    tasks.put(1)
    channel = gevent.queue.Channel()
    for _ in range(2):
        wait("queue", empty, empty.get)
    wait("queue", full, full.put, 2)
    timed(wait("queue", empty, lambda: empty.get(timeout=AHEAD)), AHEAD)
    wait("queue", channel, channel.get)
    other = gevent.queue.Channel()
    wait("queue", other, other.put, 1)
    made = wait("event", None, tasks.join)
    WAITS[id(made)]["target"] = id(tasks._cond) if hasattr(tasks, "_cond") else "some"


def locks(event):
    none, one, bounded = gevent.lock.Semaphore(0), gevent.lock.Semaphore(1), gevent.lock.BoundedSemaphore(1)
    again = gevent.lock.RLock()
    wait("lock", none, none.acquire)
    hold(wait("event", event, inside, one, event.wait), one, False)
    hold(wait("event", event, inside, bounded, event.wait), bounded, True)
    hold(wait("event", event, inside, again, event.wait), again._block, True)
    for lock in (one, bounded):
        wait("lock", lock, inside, lock, event.wait)
    wait("lock", again._block, inside, again, event.wait)
    free = gevent.lock.BoundedSemaphore(1)
    KEEP.append(free)
    with free:
        pass


def sockets():
    left, right = gevent.socket.socketpair() if hasattr(gevent.socket, "socketpair") else native_socket.socketpair()
    KEEP.append((left, right))
    wait("io", None, left.recv, 1, fd=left.fileno(), events="read from")
    wait("io", None, gevent.socket.wait_read, right.fileno(), fd=right.fileno(), events="read from")
    both, other = native_socket.socketpair()
    KEEP.append((both, other))
    fill(both)
    wait("io", None, gevent.socket.wait_read, both.fileno(), fd=both.fileno(), events="read from")
    wait("io", None, gevent.socket.wait_write, both.fileno(), fd=both.fileno(), events="write to")
    slow = gevent.socket.socket()
    slow.bind(("127.0.0.1", 0))
    slow.listen(1)
    slow.settimeout(AHEAD)
    timed(wait("io", None, slow.accept, fd=slow.fileno(), events="read from"), AHEAD)


def fill(one):
    one.setblocking(False)
    try:
        while True:
            one.send(b"." * 4096)
    except native_socket.error:
        pass


def child():
    """One that ends with us."""
    inner, outer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(outer)
        os.read(inner, 1)
        os._exit(0)
    KEEP.append((inner, outer))
    hub = gevent.get_hub()
    wait("process", None, hub.wait, hub.loop.child(pid), pid=pid)


def several(event, first):
    """What waits for several is told where each of them is needed, or one is left."""
    second = wait("event", event, event.wait)
    is_old = gevent.__version__.startswith("1.0")  # which others, and how many are needed, is not told
    wait("join", None if is_old else (first, second), gevent.joinall, [first, second])
    wait("join", None, lambda: gevent.wait([first, second], count=1))
    done = gevent.spawn(int)
    wait("join", None if is_old else first, gevent.joinall, [done, first])
    timed(wait("join", None if is_old else (first, second), lambda: gevent.joinall([first, second], AHEAD)), AHEAD)


def patched():
    lock, again, event, condition = threading.Lock(), threading.RLock(), threading.Event(), threading.Condition()
    shared = queue.Queue()
    full = queue.Queue(1)
    full.put(1)
    semaphore = threading.Semaphore(0)
    wait("event", event, event.wait)
    wait("queue", shared, shared.get)
    wait("queue", full, full.put, 2)
    wait("condition", condition, inside, condition, condition.wait)
    wait("lock", semaphore, semaphore.acquire)
    hold(wait("queue", shared, inside, lock, shared.get), lock, type(lock).__name__ != "Semaphore")
    wait("lock", lock, lock.acquire)
    block = getattr(again, "_block", None) or again._RLock__block
    hold(wait("queue", shared, inside, again, shared.get), block, True)
    wait("lock", block, again.acquire)
    timed(wait("sleep", None, __import__("time").sleep, AHEAD), AHEAD)


def expand(one):
    return [id(item) for item in one] if isinstance(one, tuple) else one


def main():
    gevent.sleep(0.01)  # the loop's clock stood still since it was made
    patched() if PATCHED else plain()
    for made, target, _ in [entry for entry in KEEP if isinstance(entry, tuple) and len(entry) == 3]:
        if isinstance(target, tuple):
            WAITS[id(made)]["target"] = expand(target)
    for _ in range(3):
        gevent.sleep(0.01)
    # to gevent 1.0, what watches for a child does not keep its loop going
    others = 0 if PATCHED or gevent.__version__.startswith("1.0") else 1
    current = gevent.getcurrent()
    WAITS[id(current)] = {"kind": "hub", "target": None, "timed": False}
    print("facts " + json.dumps({"pid": os.getpid(), "waits": WAITS, "holds": HOLDS, "others": others}))
    print("ready")
    sys.stdout.flush()
    Waiter().get()


main()
