# -*- coding: utf-8 -*-
"""Runs a generated program, each of whose functions blocks somewhere inside: holds_generated.py FILE.

The generated code has `lock(number)`, `say([numbers])`, `block()`, and what stands here.
"""

import sys
import threading

import holds_known
from holds_known import block, play, start

locks = {}


def lock(number, make=threading.Lock):
    if number not in locks:
        locks[number] = holds_known.lock(str(number), make)
    return locks[number]


class Locks(object):
    """By attribute: `all_locks.n7`, and `all_locks.r7` for the same number's recursive one."""


class Leaving(object):
    """A `with` of it calls `function` on its way out."""

    def __init__(self, function):
        self.function = function

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.function()
        return True


def run(functions):
    play([lambda: start(*functions)])


def say(numbers):
    holds_known.say([locks[number] for number in numbers])


if __name__ == "__main__":
    variables = {"block": block, "say": say, "lock": lock, "Leaving": Leaving, "threading": threading, "run": run}
    variables.update({"__name__": "generated", "Locks": Locks})
    with open(sys.argv[1]) as file:
        exec(compile(file.read(), sys.argv[1], "exec"), variables)
