"""A program of greenlets, drawn. Runs on CPython 2.7 and 3.6 to 3.15.

What a greenlet does next is drawn: go deeper, also by way of C, make another one, switch to any by hand, throw into
one, go back to its parent, end, begin a thread, fork.
"""

import functools
import os
import random
import re
import threading

import greenlet
import greenlets_plain as plain
from greenlets_plain import KEEP, Mine, make, wait_here

try:
    import ctypes
except ImportError:
    ctypes = None

STEPS = 200
DEEPEST = 30
SELDOM = 0.02
LOCKED = []  # what holds a thread back for ever


class Over(Exception):
    pass


class Compared(object):
    def __init__(self, function):
        self.function = function

    def __eq__(self, _):
        self.function()
        return True

    __hash__ = None


class Program(object):
    CAUGHT = (Exception,)
    workers = 0

    def __init__(self, seed, in_thread=False):
        self.chance = random.Random(seed)
        self.steps = STEPS
        self.first = len(KEEP)
        self.in_thread = in_thread
        self.mine = []

    def run(self):
        for _ in range(self.chance.randrange(4, 20)):
            self.begin()

    def begin(self, *_):
        kind = self.chance.choice((greenlet.greenlet, Mine))
        name = "number %d" % len(KEEP) if kind is Mine and self.chance.random() < 0.5 else None
        made = make(kind, self.body, name)
        self.mine.append(made)
        return made.switch() if self.chance.random() < 0.9 else None

    def body(self, *_):
        try:
            while self.steps > 0 and self.chance.random() < 0.8:
                self.act(0)
            if self.chance.random() < 0.7:
                wait_here()
        except self.CAUGHT:
            return "thrown"

    def act(self, depth):
        self.steps -= 1
        if self.steps < 0 or depth > DEEPEST:
            return wait_here()
        return getattr(self, self.chance.choice(self.ACTIONS).__name__)(depth)

    def deeper(self, depth):
        return self.act(depth + 1)

    def much_deeper(self, depth):
        """Large C stacks, which lie over those of others: parts of these are copied."""

        def down(more):
            return sorted([1], key=lambda _: down(more - 1)) if more else self.act(depth + 1)

        return down(self.chance.randrange(5, 25))

    def through_sorted(self, depth):
        return sorted([2, 1], key=lambda number: (self.act(depth + 1), number)[1])

    def through_generator(self, depth):
        def numbers():
            yield self.act(depth + 1)

        return list(numbers())

    def through_other_c(self, depth):
        inner = functools.partial(self.act, depth + 1)
        way = self.chance.randrange(4)
        if way == 0:
            return re.sub("a", lambda _: str(inner()), "a")
        if way == 1:
            return [Compared(inner)].count(None)
        if way == 2 and ctypes:
            return through_ctypes(inner)
        return functools.reduce(lambda *_: inner(), [1, 2])

    def make_another(self, depth):
        self.begin()
        return self.act(depth + 1)

    def any_of_mine(self):
        return self.chance.choice(self.mine)

    def switch_to_any(self, depth):
        other = self.any_of_mine()
        if not other.dead and other is not greenlet.getcurrent():
            other.switch()
        return self.act(depth + 1)

    def throw_into_any(self, depth):
        other = self.any_of_mine()
        if other and other.parent is not None and other is not greenlet.getcurrent():
            other.throw(Over)
        return self.act(depth + 1)

    def forget_any(self, depth):
        """Nobody but others' parents and frames may know it any more: then it ends."""
        other = self.any_of_mine()
        if len(self.mine) > 1 and other is not greenlet.getcurrent():
            self.mine.remove(other)
            KEEP.remove(other)
        return self.act(depth + 1)

    def begin_thread(self, depth):
        if not self.in_thread and self.chance.random() < SELDOM * 3:
            started = threading.Event()
            thread = threading.Thread(target=self.in_new_thread, args=(self.chance.random(), started))
            thread.daemon = True
            thread.start()
            started.wait()
        return self.act(depth + 1)

    def in_new_thread(self, seed, started):
        plain.know_thread()
        type(self)(seed, in_thread=True).run()
        started.set()
        LOCKED.append(threading.Lock())
        LOCKED[-1].acquire()
        LOCKED[-1].acquire()

    def fork(self, depth):
        self.fork_seldom(SELDOM)
        return self.act(depth + 1)

    def fork_seldom(self, how_seldom):
        """The parent does no more than wait for its end."""
        if self.may_fork() and self.chance.random() < how_seldom:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                os._exit(0)
            self.after_fork()

    def may_fork(self):
        """gevent's threadpool may hang in a child."""
        return not self.in_thread and not Program.workers

    def after_fork(self):
        plain.forget_threads()

    def go_back(self, _):
        return wait_here() if greenlet.getcurrent().parent is not None else None

    def end(self, _):
        return "over"

    ACTIONS = (
        deeper, deeper, much_deeper, through_sorted, through_generator, through_other_c, make_another, make_another,
        switch_to_any, throw_into_any, forget_any, begin_thread, fork, go_back, go_back, end,
    )  # fmt: skip


def through_ctypes(function):
    """ctypes keeps back what is raised in a callback: it would not end who is to end by it."""
    raised = []

    def call():
        try:
            function()
        except BaseException as error:
            raised.append(error)

    ctypes.CFUNCTYPE(None)(call)()
    if raised:
        raise raised[0]
