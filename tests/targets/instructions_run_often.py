# -*- coding: utf-8 -*-
"""Functions that ran so often that the interpreter wrote over their instructions, and what `dis` says of them.

Says `facts {...}`: the instructions and exception tables of some functions, and which objects lie on the stacks of a
frame that calls and of a generator that waits.
"""

import dis
import json
import opcode
import os
import sys
import threading

never = os.pipe()[0]


class Point(object):
    def __init__(self):
        self.x = 1
        self.lock = threading.Lock()

    def move(self, by):
        with self.lock:
            self.x += by
            return self.x


def add(items, number):
    total = 0
    for item in items:
        try:
            if item > number and item != 3:
                total += item * 2 - number
            elif number in (2, 7):
                continue
        finally:
            total = total + 1
    return [total, {"a": total}, items[0], len(items), str(number), max(total, 1)]


LONG = "def long(x):\n  if x:\n" + "\n".join("    a%d = x.b%d" % (n, n) for n in range(300)) + "\n  return x"


def instructions(code):
    """[[start, name, argument]] as the compiler wrote them, without EXTENDED_ARG and caches; None: no argument."""
    if not hasattr(dis, "get_instructions"):
        return list(decode(bytearray(code.co_code)))
    found, start = [], None
    for one in dis.get_instructions(code):
        start = one.offset if start is None else start
        if one.opname not in ("EXTENDED_ARG", "CACHE"):
            found.append([start, one.opname.replace("+", "_"), one.arg])
            start = None
    return found


def decode(data):
    """2.7: three bytes with an argument, one without."""
    at = extended = start = 0
    while at < len(data):
        op = data[at]
        argument = data[at + 1] + data[at + 2] * 256 + extended if op >= opcode.HAVE_ARGUMENT else None
        at += 3 if op >= opcode.HAVE_ARGUMENT else 1
        extended = argument * 65536 if op == opcode.EXTENDED_ARG else 0
        if op != opcode.EXTENDED_ARG:
            yield [start, opcode.opname[op], argument]
            start = at


def handlers(code):
    """[[start, end, target, depth]], from 3.11 on."""
    parse = getattr(dis, "_parse_exception_table", lambda _: [])
    return [[one.start, one.end, one.target, one.depth] for one in parse(code)]


def block():
    os.read(never, 1)


def put(*_):
    pass


def waits_in_a_call(first, second):
    put(first, second, block())


def waits_in_generators(first, second):
    def generate():
        put(first, second, (yield 1))

    generator = generate()
    next(generator)
    return generator


if __name__ == "__main__":
    variables = {}
    exec(LONG, variables)
    point = Point()
    for number in range(100):
        point.move(number)
        add([1, 2, 3, number], 2)
    codes = [Point.move, add, instructions, variables["long"], waits_in_a_call]
    codes = [getattr(function, "__func__", function).__code__ for function in codes]
    facts = {"codes": [[id(code), instructions(code), handlers(code)] for code in codes]}
    objects = [object(), object()]
    generator = waits_in_generators(*objects)
    facts["objects"] = [id(one) for one in objects]
    facts["generator"] = id(generator)
    sys.stdout.write("facts " + json.dumps(facts) + "\nready\n")
    sys.stdout.flush()
    waits_in_a_call(*objects)
