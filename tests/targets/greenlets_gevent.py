"""Generated programs of gevent's greenlets, as greenlets_program.py makes others: they wait for each other and hold.

What each waits for and holds is noted where it does so: WAITS, HOLDS. Where all have come to rest, all of it is true.
"""

import threading
from contextlib import contextmanager

import gevent
import gevent.event
import gevent.hub
import gevent.lock
import gevent.pool
import gevent.queue
import gevent.socket
import greenlet
import greenlets_plain as plain
from greenlets_plain import HOLDS, KEEP, WAITS, wait_here
from greenlets_program import SELDOM, Program

try:
    from socket import socketpair
except ImportError:
    from gevent.socket import socketpair
plain.HUBS = gevent.hub.Hub

AHEAD = 1000.0
SOON = 0.001
ROUNDS = 12  # of the loop in which nothing happens any more
SOME = 2  # objects of each kind
WORKERS = 3


class GeventProgram(Program):
    CAUGHT = (Exception, gevent.Timeout)

    def __init__(self, seed, in_thread=False):
        Program.__init__(self, seed, in_thread)
        self.events, self.results = many(gevent.event.Event), many(gevent.event.AsyncResult)
        self.queues, self.tasks = many(gevent.queue.Queue), many(gevent.queue.JoinableQueue)
        self.full, self.channels = many(lambda: gevent.queue.Queue(1)), many(gevent.queue.Channel)
        self.pools = many(lambda: gevent.pool.Pool(2))
        self.locks = [gevent.lock.Semaphore(1), gevent.lock.BoundedSemaphore(1), gevent.lock.RLock()]
        self.locks.append(gevent.lock.BoundedSemaphore(2))
        self.until = {}  # by greenlet: how many timeouts are around what it does
        self.soon = set()
        KEEP.extend(vars(self).values())

    def run(self):
        self.fork_seldom(SELDOM * 2)
        for _ in range(self.chance.randrange(4, 20)):
            self.spawn()
        before, rounds = None, 0
        while rounds < ROUNDS or self.soon:
            gevent.sleep(SOON if self.soon or rounds % 4 == 3 else 0)
            rounds = rounds + 1 if before == self.steps else 0
            before = self.steps

    def spawn(self, *_):
        made = (gevent.spawn if self.chance.random() < 0.8 else self.spawn_later)(self.body)
        self.mine.append(made)
        KEEP.append(made)
        return made

    def spawn_another(self, depth):
        self.spawn()
        return self.act(depth + 1)

    def spawn_later(self, function):
        return gevent.spawn_later(self.chance.choice((0, AHEAD)), function)

    def spawn_in_callback(self, depth):
        """In one of the hub's, or in one of another greenlet's end."""
        other = self.any_of_mine()
        if hasattr(other, "link") and self.chance.random() < 0.5:
            other.link(self.spawn)
        else:
            gevent.get_hub().loop.run_callback(self.spawn)
        return self.act(depth + 1)

    # what others wait for comes

    def wake(self, depth):
        way = self.chance.randrange(6)
        if way == 0:
            self.chance.choice(self.events).set()
        elif way == 1:
            self.chance.choice(self.results).set(1)
        elif way == 2:
            self.chance.choice(self.queues).put(1)
        elif way == 3:
            self.chance.choice(self.tasks).put_nowait(1)
        elif way == 4:
            self.chance.choice(self.events).clear()
        else:
            self.take_one()
        return self.act(depth + 1)

    def take_one(self):
        full = self.chance.choice(self.full)
        if not full.empty():
            full.get_nowait()

    def kill_any(self, depth):
        other = self.any_of_mine()
        if hasattr(other, "kill") and other is not gevent.getcurrent():
            if self.chance.random() < 0.5:
                other.kill(block=False)
            else:
                self.wait("join", other, other.kill)
        return self.act(depth + 1)

    def does_not_end(self, depth):
        try:
            return self.act(depth + 1)
        except gevent.GreenletExit:
            return self.act(depth + 1)

    def forget_any(self, depth):
        """None that would have to end by that, and does not: the collector knows none of these any more."""
        me = greenlet.getcurrent()
        self.mine = [one for one in self.mine if plain.IS_ACTIVE(one)] or [me]
        return self.act(depth + 1)

    # waits

    def wait(self, kind, target, function, *arguments, **more):
        me = id(gevent.getcurrent())
        timed = more.pop("timed", False) or self.until.get(me, 0) > 0
        WAITS[me] = dict(kind=kind, target=find_id(kind, target), timed=timed, **more)
        KEEP.append(target)
        try:
            return function(*arguments)
        finally:
            WAITS.pop(me, None)

    def wait_for_any(self, depth):
        self.chance.choice(self.WAYS)(self)
        return self.act(depth + 1)

    def for_event(self):
        event = self.chance.choice(self.events + self.results)
        if self.chance.random() < 0.3:
            return self.wait("event", event, event.wait, AHEAD, timed=True)
        return self.wait("event", event, event.wait)

    def for_result(self):
        result = self.chance.choice(self.results)
        return self.wait("event", result, result.get)

    def for_queue(self):
        queue = self.chance.choice(self.queues + self.channels)
        if self.chance.random() < 0.3:
            return self.wait("queue", queue, lambda: queue.get(timeout=AHEAD), timed=True)
        return self.wait("queue", queue, queue.get)

    def for_room(self):
        queue = self.chance.choice(self.full + self.channels)
        return self.wait("queue", queue, queue.put, 2)

    def for_tasks(self):
        tasks = self.chance.choice(self.tasks)
        return self.wait("event", getattr(tasks, "_cond", None), tasks.join)

    def for_end(self):
        other = self.any_of_mine()
        if not hasattr(other, "join") or other is gevent.getcurrent():
            return None
        if self.chance.random() < 0.3:
            return self.wait("join", other, other.join, AHEAD, timed=True)
        return self.wait("join", other, other.join if self.chance.random() < 0.5 else other.get)

    def for_pool(self):
        """For room in it, then for all of its greenlets."""
        pool = self.chance.choice(self.pools)
        made = self.wait("lock", pool._semaphore, pool.spawn, self.body)
        self.mine.append(made)
        KEEP.append(made)
        if self.chance.random() < 0.3:
            self.wait("event", pool._empty_event, pool.join)

    def for_time(self):
        return self.wait("sleep", None, gevent.sleep, AHEAD, timed=True)

    def for_peer(self):
        ours, theirs = socketpair()
        KEEP.extend((ours, theirs))
        number = ours.fileno()
        return self.wait("io", None, gevent.socket.wait_read, number, fd=number, events="read from")

    def for_thread(self):
        if self.in_thread or Program.workers >= WORKERS:
            return None
        Program.workers += 1
        started = threading.Event()
        result = gevent.get_hub().threadpool.spawn(in_worker, started)
        started.wait()
        return self.wait("event", result, result.get)

    def by_hand(self):
        return wait_here()

    WAYS = (
        for_event, for_event, for_result, for_queue, for_queue, for_room, for_tasks, for_end, for_end, for_pool,
        for_time, for_peer, for_thread, by_hand,
    )  # fmt: skip

    @contextmanager
    def shortly(self):
        one = object()
        self.soon.add(one)
        try:
            yield
        finally:
            self.soon.discard(one)

    def sleep_shortly(self, depth):
        with self.shortly():
            gevent.sleep(self.chance.choice((0, SOON)))
        return self.act(depth + 1)

    def with_timeout(self, depth):
        me = id(gevent.getcurrent())
        with gevent.Timeout(AHEAD):
            self.until[me] = self.until.get(me, 0) + 1
            try:
                return self.act(depth + 1)
            finally:
                self.until[me] -= 1

    def timed_out(self, depth):
        event = gevent.event.Event()
        with self.shortly():
            with gevent.Timeout(SOON, False):
                event.wait()
        return self.act(depth + 1)

    # holds

    def inside(self, depth):
        lock = self.chance.choice(self.locks)
        below = getattr(lock, "_block", lock)
        self.wait("lock", below, self.enter, lock, below, depth)
        return self.act(depth + 1)

    def enter(self, lock, below, depth):
        me = id(gevent.getcurrent())
        with lock:
            WAITS.pop(me, None)
            is_certain = isinstance(lock, gevent.lock.RLock) or getattr(lock, "_initial_value", 0) == 1
            note = [me, id(below), is_certain]
            HOLDS.append(note)
            try:
                self.act(depth + 1)
            finally:
                HOLDS[:] = [one for one in HOLDS if one is not note]

    def inside_native(self, depth):
        lock = threading.Lock()
        note = [id(gevent.getcurrent()), id(lock), None]  # code of gevent's threadpool may release any lock
        with lock:
            HOLDS.append(note)
            try:
                return self.act(depth + 1)
            finally:
                HOLDS[:] = [one for one in HOLDS if one is not note]

    def after_fork(self):
        Program.after_fork(self)
        gevent.reinit()

    def fork(self, depth):
        """It would, from here, in a callback of the hub: that may hang by itself."""
        return self.act(depth + 1)

    ACTIONS = Program.ACTIONS + (
        spawn_another, spawn_in_callback, wake, wake, kill_any, does_not_end, wait_for_any, wait_for_any, wait_for_any,
        wait_for_any, sleep_shortly, with_timeout, timed_out, inside, inside, inside_native,
    )  # fmt: skip


def many(make):
    return [make() for _ in range(SOME)]


def find_id(kind, target):
    """Cython's classes have fields that Python does not see: then it is some object."""
    return id(target) if target is not None else "some" if kind == "event" else None


def in_worker(started):
    plain.know_thread()
    started.set()
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def tell_in_hub():
    """The main greenlet waits, too."""
    WAITS[id(greenlet.getcurrent())] = {"kind": "io", "target": None, "timed": False, "fd": 0, "events": "read from"}
    gevent.get_hub().loop.run_callback(plain.tell_facts)
    gevent.socket.wait_read(0)
