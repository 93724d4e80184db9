# -*- coding: utf-8 -*-
# ruff: noqa: F841 - locals that nobody uses are what this is about
"""Frames of every kind, which say what repr() of each of their locals prints, and then stop."""

import collections
import json
import os
import sys

SHOWN = 300  # characters
# What a comprehension binds at module level is in the module's own frame from 3.12 on; f_locals does not show it.
IN_MODULE = {"started": "'at once'"} if sys.version_info >= (3, 12) else {}
MODERN = """
async def produce(größe):
    async with Guard() as guard:
        for step in [größe]:
            yield [call(inner, step) for inner in range(1)]

class Guard:
    async def __aenter__(self):
        return "guarded"
    async def __aexit__(self, *exc):
        return None
    def expected(self):
        return object.__repr__(self)

async def consume(number, *, only_by_name=1.5):
    async for item in produce(number):
        never = item
    return never

def run_modern(call_next):
    global call
    call = lambda inner, step: (lambda: call_next())()
    coroutine = consume(10 ** 30)
    coroutine.send(None)
"""


class Plain(object):
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def expected(self):
        return with_attributes(self, "".join(", %s=%s" % (name, repr(self.__dict__[name])) for name in self.__dict__))


class Slotted(object):
    __slots__ = ("first", "second", "unset")

    def __init__(self):
        self.first = 1
        self.second = ["two"]

    def expected(self):
        return with_attributes(self, ", first=1, second=['two']")


class Base(Slotted):
    __slots__ = ("third",)

    def __repr__(self):
        raise ValueError("must not run")

    def expected(self):
        return with_attributes(self, ", first=1, second=['two'], third=None")


class Mapping(dict):
    def __repr__(self):
        raise ValueError("must not run")

    def expected(self):
        return with_attributes(self, ", %s, extra=1" % dict(self))


Point = collections.namedtuple("Point", "x y")


class Pair(Point):
    __slots__ = ()

    def expected(self):
        return with_attributes(self, ", (%r, %r)" % (self.x, self.y))


class Deque(collections.deque):
    def expected(self):
        return with_attributes(self, ", %s" % list(self))


def with_attributes(value, attributes):
    shown = object.__repr__(value)
    return "%s %s>" % (shown[:-1], attributes[2:]) if attributes else shown


def show(value):
    if hasattr(type(value), "expected"):
        return value.expected()
    if isinstance(value, type(10**40)) and value > 10**4000:  # has more digits than Python prints
        return None
    shown = repr(value)[:SHOWN]
    return shown if sys.version_info[0] > 2 else shown.decode("latin-1")


def stop():
    frames = []
    frame = sys._getframe(1)
    while frame is not None:
        is_module = frame.f_back is None
        shown = IN_MODULE if is_module else {name: show(value) for name, value in frame.f_locals.items()}
        frames.append([frame.f_code.co_name, frame.f_globals.get("__name__"), shown])
        frame = frame.f_back
    sys.stdout.write("facts " + json.dumps(frames) + "\nready\n")
    sys.stdout.flush()
    os.read(0, 1)


def values(call):
    text, number, real, nothing, truth = b"\xc3\xa9\xf0\x9f\x98\x80".decode("utf-8"), -(10**40), 1e-7, None, True
    data, array, both = b"\x00\xff", bytearray(b"ab"), 1 - 2j
    pair, empty, single, nested = (1, "a"), (), [()], [[1, [2, {"k": (3,)}]], {"a": [None]}]
    unique, frozen, numbers = {1}, frozenset(["x"]), range(2, 9, 3)
    recursive = [1]
    recursive.append(recursive)
    own = {}
    own["own"] = own
    error, kind, function, module, method = KeyError("k", 1), ValueError, values, os, [].append
    call()


def instances(call):
    plain = Plain(x=1, name="a")
    empty, slotted, base, mapping = Plain(), Slotted(), Base(), Mapping(a=[1])
    base.third = None
    mapping.extra = 1
    pair, deque = Pair(1, "b"), Deque(range(70))
    for _ in range(3):
        deque.popleft()
    many = [plain, (slotted,)] and None
    call()


def cells(first, second=2, *rest, **named):
    def inner(own):
        def innermost(_deleted):
            local = first, own
            del _deleted
            call()
            return bound

        if rest:
            unbound = 1  # never set: innermost() would raise
        bound = "later"
        return innermost(0) and [unbound for _ in rest]

    call = named.pop("call")
    gone = 1
    del gone
    inner({"a": second})


def loops(call):
    for outer in ["x"]:
        for index, [head, tail] in enumerate([(1, 2)]):
            [[call() for deep in [index + level]] for level in range(1) if tail]


def generate(call, limit=2):
    for count in range(limit):
        received = yield count
        if count:
            call(received)


def run_generator(call):
    generator = generate(call)
    list(map(generator.send, [None, "first", "second"]))


def define(call):
    def method(self):
        return Made

    class Made(object):
        attribute = [1]
        alias = method
        call()

        def other(self):
            return self.__class__

    return Made


def evaluate(call):
    exec("inside = 1\nother = 'q'\ncall()", {"call": call, "__name__": "made"}, {"before": []})


def large(call):
    text, items, integer = "x" * 10**6, list(range(10**5)), 2**100000
    many = dict(zip(range(10**4), map(str, range(10**4))))
    call()


def chain(steps):
    """Each of the functions calls the next one, from inside."""

    def call(_=None, rest=steps[1:]):
        return chain(rest) if rest else stop()

    return steps[0](call) if steps[0] is not cells else cells(1, call=call, other=None)


if __name__ == "__main__":
    steps = [values, instances, cells, loops, run_generator, define, evaluate, large]
    if sys.version_info[0] > 2:
        space = {}
        exec(compile(MODERN, "<modern>", "exec"), space)
        steps.insert(0, space["run_modern"])
    [chain(steps) for started in ["at once"]]
