# -*- coding: utf-8 -*-
"""Threads that hold locks in a program that gives some back by hand: see holds_known.py."""

import threading

from holds_known import block, condition_waits_for_a_time, facts, lock, nested, play, say, start


def as_an_argument():
    """A bound `__exit__` on the stack that no `with` has put there."""
    a = lock("a")

    def call(*_):
        pass

    def first():
        say()
        taken.wait()
        call(a.__exit__, type(a).__exit__, a, [block() for _ in "a"])

    def second():
        with a:
            say([a])
            taken.set()
            block()

    taken = threading.Event()
    start(first, second)


def inside():
    a, b = lock("a"), lock("b")

    def run():
        with a, b:
            a.release()
            say([b])
            block()
            a.acquire()

    start(run)


def items_by_hand():
    """Locks of a list, a dict and a tuple, by variables and by constants."""
    a, b, c, d = lock("a"), lock("b"), lock("c"), lock("d")
    several, by_name, both = [a, d], {"b": b, 5: c}, (d,)

    def run(at, name):
        several[at].acquire()
        by_name[name].acquire()
        by_name[5].acquire()
        both[0].acquire()
        try:
            say(otherwise=[a, b, c, d])
            block()
        finally:
            several[at].release()
            by_name[name].release()
            by_name[5].release()
            both[0].release()

    start(lambda: run(-2, "b"))


def handed_over():
    a = lock("a")

    def run():
        with a:
            say([a])
            block()

    def give_back():
        a.release()

    def take():
        a.acquire()

    def other():
        take()
        facts[first.ident].update({"with": [], "holds": []})
        say([], [a])
        block()

    first = start(run)
    thread = threading.Thread(target=give_back)
    thread.start()
    thread.join()
    start(other)


def taken_again():
    a = lock("a")

    def run():
        with a:
            a.release()
            a.acquire()
            say([a])
            block()

    start(run)


def by_hand():
    a, b = lock("a"), lock("b")

    def run():
        a.acquire()
        try:
            say([], [a])
            block()
        finally:
            a.release()

    def failing():
        got = a.acquire(False)
        try:
            say()
            block()
        finally:
            if got:
                a.release()

    def given_back():
        b.acquire()
        b.release()
        say()
        block()
        b.acquire()
        b.release()

    start(run, failing, given_back, waiting_by_hand(a))


def waiting_by_hand(one):
    def run():
        say()
        one.acquire()
        try:
            block()
        finally:
            one.release()

    return run


def by_helpers():
    a = lock("a")

    def give(what):
        what.release()

    def run():
        with a:
            give(a)
            say()
            block()

    def other():
        a.acquire()
        say([], [a])
        block()

    start(run, other)


if __name__ == "__main__":
    play(
        [
            as_an_argument,
            inside,
            items_by_hand,
            handed_over,
            taken_again,
            by_hand,
            by_helpers,
            nested,
            condition_waits_for_a_time,
        ]
    )
