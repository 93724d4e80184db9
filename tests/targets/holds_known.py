# -*- coding: utf-8 -*-
"""Threads that hold locks in every way there is, and say which: each blocks where its comment says, for ever.

None of the code here gives back a lock by hand: see holds_released.py.

Says `facts {...}` when all have come to where they block: the locks that each thread holds, by their ids.
"""

import contextlib
import json
import os
import sys
import threading
import time

try:
    import queue
except ImportError:
    import Queue as queue

# ident: {"scenario", "holds": [id], "with": [id] of them, taken by `with`, "units": [id of semaphores], "waits": id}
facts = {}
names = {}  # id of a lock: what the scenario calls it
kept = []  # locks, so that no address is used twice
scenarios = []
never = os.pipe()[0]


def block(*_):
    os.read(never, 1)


def lock_of(lock):
    """What a Condition stands on, as its releases call it."""
    lock = getattr(lock, "_lock", None) or getattr(lock, "_Condition__lock", None) or lock
    return lock if hasattr(lock, "acquire") else None


def say(by_with=(), otherwise=(), units=(), waits=None):
    """What the calling thread holds, and which lock it waits for, as soon as it blocks."""
    facts[threading.current_thread().ident] = {
        "scenario": threading.current_thread().name,
        "with": [id(lock_of(lock)) for lock in by_with],
        "holds": [id(lock_of(lock)) for lock in list(by_with) + list(otherwise)],
        "units": [id(lock) for lock in units],
        "waits": waits and id(lock_of(waits)),
    }


def lock(name="lock", make=threading.Lock):
    made = make()
    kept.append(made)
    names[id(lock_of(made))] = name
    return made


def start(*functions):
    """Each in a thread of its own, the last of which it returns; one begins when the one before stands still."""
    for function in functions:
        thread = threading.Thread(target=function, name=sys._getframe(1).f_code.co_name)
        thread.daemon = True
        thread.start()
        wait_until_it_stands(thread)
    return thread


def wait_until_it_stands(thread):
    """Until it blocks, or its innermost frames have been the same for many looks."""
    last, looks = None, 0
    while looks < 20 and thread.is_alive():
        time.sleep(0.0002)
        frame = sys._current_frames().get(thread.ident) if thread.ident in facts else None
        if frame is not None and frame.f_code is block.__code__:
            return
        seen = frame and [(id(one.f_code), one.f_lasti) for one in outward(frame)]
        looks = looks + 1 if seen and seen == last else 0
        last = seen


def outward(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back


def plain(function):
    scenarios.append(function)
    return function


@plain
def nested():
    a, b = lock("a"), lock("b")

    def run():
        with a:
            with b:  # noqa: SIM117
                say([a, b])
                block()

    start(run)


@plain
def on_one_line():
    a, b, c = lock("a"), lock("b"), lock("c")

    def run():
        with a, b as _, c:
            say([a, b, c])
            block()

    start(run)


class Owner(object):
    def __init__(self):
        self._lock = lock("self._lock")

    def run(self):
        with self._lock:
            say([self._lock])
            block()


@plain
def by_attribute():
    start(Owner().run)


@plain
def recursive_lock():
    r = lock("r", threading.RLock)

    def run():
        with r:
            for _ in range(2):
                with r, r:
                    say([r])
                    block()

    def wait():
        say()
        with r:
            block()

    start(run, wait)


@plain
def recursive_by_hand():
    r = lock("r", threading.RLock)

    def take():
        r.acquire()
        r.acquire()

    def run():
        take()
        say([], [r])
        block()

    start(run, waiting_for(r))


@plain
def entering():
    a, b = lock("a"), lock("b")

    def first():
        with b:
            say([b])
            block()

    def second():
        say([a])
        with a, b:
            block()

    start(first, second, *[waiting_for(b) for _ in range(6)])


def waiting_for(one):
    def wait():
        say(waits=one)
        with one:
            block()

    return wait


@plain
def one_after_the_other():
    """A deadlock of two."""
    a, b = lock("a"), lock("b")
    turn = threading.Event()

    def first():
        say([a])
        with a:
            turn.wait()
            with b:
                block()

    def second():
        say([b])
        with b:
            turn.set()
            with a:
                block()

    start(first, second)


@plain
def left_before():
    """What a `with` that was left had on the stack may still be there."""
    a, b = lock("a"), lock("b")

    def first():
        with a:
            pass
        with a, b:
            pass
        say()
        taken.wait()
        block()

    def second():
        with b, a:
            say([a, b])
            taken.set()
            block()

    taken = threading.Event()
    start(first, second)


@plain
def in_handlers():
    a, b, c, d = lock("a"), lock("b"), lock("c"), lock("d")

    def run():
        try:
            with a:
                raise ValueError
        except ValueError:
            with b:
                try:
                    with c:
                        raise KeyError
                except KeyError:
                    try:
                        raise IndexError
                    finally:
                        with d:
                            say([b, d])
                            block()

    start(run)


@plain
def in_finally():
    a, b = lock("a"), lock("b")

    def run():
        with a:
            try:
                with b:
                    return 1
            finally:
                say([a])
                block()

    def raising():
        with b:
            try:
                raise ValueError
            finally:
                say([b])
                block()

    start(run, raising)


class Slow(object):
    """Leaves its `with` slowly."""

    def __init__(self, *held):
        self.held = held

    def __enter__(self):
        pass

    def __exit__(self, *_):
        say(self.held)
        block()


@plain
def leaving():
    a, b, c, d = lock("a"), lock("b"), lock("c"), lock("d")

    def run():
        with a:
            with Slow(a):
                with b:
                    pass

    def raising():
        with c:
            with Slow(c):
                with d:
                    raise ValueError

    def returning():
        with b:
            for _ in range(3):
                with Slow(b), d:
                    return 1
        return 0

    start(run, raising, returning)


@plain
def in_loops():
    a, b = lock("a"), lock("b")

    def run():
        for number in range(5):
            with a:
                if number < 2:
                    continue
                while True:
                    with b:
                        number += 1
                        if number < 7:
                            continue
                        if number > 7:
                            break
                        say([a, b])
                        block()

    start(run)


@plain
def in_comprehensions():
    a, b = lock("a"), lock("b")

    def run():
        with a:
            return [[deeper(x) for x in "a"] for y in "b"]

    def deeper(_):
        with b:
            say([a, b])
            return {one: block() for one in "a"}

    start(run)


@plain
def deep_down():
    locks = [lock("level%d" % number) for number in range(40)]

    def run(level=0):
        with locks[level]:
            if level < 39:
                run(level + 1)
            say(locks)
            block()

    start(run)


@plain
def of_a_module():
    a, b = lock("a"), lock("b")
    code = "with a, b:\n  say([a, b])\n  block()"
    start(lambda: exec_in(code, {"a": a, "b": b, "say": say, "block": block}))


def exec_in(code, variables):
    exec(compile(code, "<a module>", "exec"), variables)


@plain
def in_generators():
    a, b = lock("a"), lock("b")

    def generate():
        with a:
            for number in range(3):
                if number == 2:
                    say([a, b])
                    block()
                yield number

    def run():
        with b:
            return sum(generate())

    start(run)


@plain
def condition_held():
    c, r = lock("c", lambda: threading.Condition(threading.Lock())), lock("r", threading.Condition)

    def run():
        with c:
            c.notify_all() if hasattr(c, "notify_all") else c.notifyAll()
            with r:
                say([c, r])
                block()

    start(run)


def waiting(condition, **how):
    def run():
        with condition:
            say()
            condition.wait(**how)

    return run


@plain
def condition_waits():
    made = [lock("c", lambda: threading.Condition(threading.Lock())), lock("r", threading.Condition)]
    start(*[waiting(one) for one in made])


def condition_waits_for_a_time():
    """2.7 looks at the clock again and again."""
    start(waiting(lock("timed", lambda: threading.Condition(threading.Lock())), timeout=3600))


@plain
def condition_takes_it_again():
    for make in (lambda: threading.Condition(threading.Lock()), threading.Condition):
        condition = lock("condition", make)

        def notify(c=condition):
            with c:
                c.notify()
                say([c])
                block()

        start(waiting(condition), waiting(condition), notify)


@plain
def condition_of_the_same_lock():
    shared = lock("shared")
    one, other = threading.Condition(shared), threading.Condition(shared)

    def run():
        with one:
            say()
            other.wait()

    def second():
        with one:
            say([shared])
            block()

    start(run, second)


class MyCondition(threading.Condition if isinstance(threading.Condition, type) else object):
    def wait(self, *arguments):
        return super(MyCondition, self).wait(*arguments)


@plain
def condition_of_ones_own():
    if not isinstance(threading.Condition, type):  # 2.7: a function
        return
    condition = lock("mine", lambda: MyCondition(threading.Lock()))

    def run():
        with condition:
            say([condition])
            block()

    start(waiting(condition), run)


@plain
def of_the_library():
    event, semaphore = threading.Event(), threading.Semaphore(0)
    one_queue = queue.Queue()

    def wait_event():
        say()
        event.wait()

    def wait_semaphore():
        say()
        with semaphore:
            block()

    def get():
        say()
        one_queue.get()

    start(wait_event, wait_semaphore, get, get)


@plain
def units():
    semaphore = threading.Semaphore(3)
    kept.append(semaphore)

    def run():
        with semaphore:
            say(units=[semaphore])
            block()

    start(run, run)


@plain
def in_coroutines():
    if sys.version_info < (3, 6):
        return
    code = """
class Entering:
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass

async def inner():
    async with Entering():
        with b:
            say([a, b])
            block()

async def outer():
    with a:
        await inner()

async def numbers():
    with a2:
        yield 1
        with b2:
            say([a2, b2])
            block()

async def consume():
    async for _ in numbers(): pass
"""
    variables = {"say": say, "block": block}
    variables.update((name, lock(name)) for name in ("a", "b", "a2", "b2"))
    exec_in(code, variables)
    start(lambda: variables["outer"]().send(None), lambda: variables["consume"]().send(None))


@plain
def by_contextmanager():
    a, b = lock("a"), lock("b")

    @contextlib.contextmanager
    def taken():
        with a:
            yield

    def run():
        with taken(), b:
            say([a, b])
            block()

    start(run)


@plain
def by_suspended_generator():
    a = lock("a")

    def generate():
        with a:
            yield 1

    def run():
        for _ in generate():
            say([a])
            block()

    start(run)


@plain
def by_exit_stack():
    if not hasattr(contextlib, "ExitStack"):
        return
    a, b = lock("a"), lock("b")

    def run():
        with contextlib.ExitStack() as stack:
            for one in (a, b):
                stack.enter_context(one)
            say([a, b])
            block()

    start(run)


def play(those):
    """All of them; then for ever."""
    for scenario in those:
        scenario()
    sys.stdout.write("facts " + json.dumps({"threads": facts, "names": names}) + "\nready\n")
    sys.stdout.flush()
    block()


if __name__ == "__main__":
    play(scenarios + [condition_waits_for_a_time] * (sys.version_info >= (3,)))
