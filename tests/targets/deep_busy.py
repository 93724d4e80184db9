# -*- coding: utf-8 -*-
"""Eight threads that run Python flat out, through functions whose calls are all known: it says which there are.

`edges` lists every call in this file as [caller, callee, line], `functions` where each function begins and ends.
"""

import ast
import json
import sys
import threading


class Counter(object):
    """Methods among the functions."""

    def __init__(self):
        self.count = 0

    def climb(self, depth):
        if depth:
            return self.climb(depth - 1)
        return self.add(depth)

    def add(self, number):
        self.count += number
        return leaf(number)


def leaf(number):
    total = 0
    for item in (1, 2, 3):
        total += item * number
    return total


def branch(number):
    first = leaf(number)
    if number % 2:
        return twig(first)

    return leaf(number)


def twig(number):
    try:
        return leaf(number)
    finally:
        leaf(1)


def count_up(limit):
    number = 0
    while number < limit:
        yield branch(number)
        number += 1


def delegate(limit):
    for item in count_up(limit):
        yield twig(item)


def recurse(depth):
    if depth:
        return recurse(depth - 1)

    return twig(depth)


def work(counter):
    for item in delegate(4):
        branch(item)
    recurse(12)
    counter.climb(5)
    return leaf(7)


def run_for_ever():
    counter = Counter()
    while True:
        work(counter)
        twig(2)


def find_calls(tree):
    """Calls of the functions and methods of this file, each on one line: of a generator, the line that iterates it."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    names = {node.name for node in functions}
    for caller in functions:
        for node in ast.walk(caller):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", None))
                if called in names:
                    yield [caller.name, called, node.lineno]


def find_functions(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            lines = [child.lineno for child in ast.walk(node) if hasattr(child, "lineno")]
            yield [node.name, min(lines), max(lines)]


if __name__ == "__main__":
    with open(__file__, "rb") as file:
        tree = ast.parse(file.read())
    for _ in range(8):
        thread = threading.Thread(target=run_for_ever)
        thread.daemon = True
        thread.start()
    facts = {"edges": list(find_calls(tree)), "functions": list(find_functions(tree)), "file": __file__}
    sys.stdout.write("facts " + json.dumps(facts) + "\nready\n")
    sys.stdout.flush()
    sys.stdin.readline()
