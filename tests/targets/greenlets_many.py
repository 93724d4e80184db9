"""As many greenlets as it is told, of some kinds, and one of another kind among them; "ready" when all of them wait.

Runs on CPython 2.7 to 3.15.
"""

import functools
import sys

import gevent
import gevent.event
import gevent.lock
import gevent.queue

event = gevent.event.Event()
queue = gevent.queue.Queue()
lock = gevent.lock.RLock()


class Named(gevent.Greenlet):
    """A type of its own."""


def descend(depth, function, *arguments):
    return descend(depth - 1, function, *arguments) if depth else function(*arguments)


def inside(function, *arguments):
    with lock:
        function(*arguments)


def through_c(number):
    return max([number], key=lambda one: descend(one % 5, event.wait))


KINDS = [
    lambda number: gevent.spawn(descend, number % 7, event.wait),
    lambda number: gevent.spawn(descend, number % 3, queue.get),
    lambda number: gevent.spawn(gevent.sleep, 1000 + number),
    lambda number: Named.spawn(functools.partial(descend, number % 2), event.wait, 5000),
    lambda number: gevent.spawn(inside, event.wait),
    lambda number: gevent.spawn(through_c, number),
    lambda number: gevent.spawn_later(1000, event.wait),
]


if __name__ == "__main__":
    count = int(sys.argv[1])
    kept = [KINDS[number % len(KINDS)](number) for number in range(count - 1)]
    kept.append(gevent.spawn(gevent.get_hub().threadpool.apply, sys.stdin.readline))
    gevent.sleep(0.1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    event.wait()
