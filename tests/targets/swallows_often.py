"""Swallows COUNT exceptions at one place; with a second argument, calls tell_twice() of that library as often.

Says how many milliseconds one took. The exceptions say `again`; of thirty more, each says something else.
"""

import ctypes
import sys
import time


class Deleted(object):
    def __init__(self, text):
        self.text = text

    def __del__(self):
        raise ValueError(self.text)


def repeat(count, swallow):
    started = time.time()
    for number in range(count):
        swallow(number)
    return (time.time() - started) / count * 1000


def swallow_numbered(number):
    Deleted("number %d" % number)


def swallow(number):
    Deleted("again")


count = int(sys.argv[1])
took = repeat(count, swallow)
repeat(30, swallow_numbered)
if len(sys.argv) > 2:
    tell_twice = ctypes.PyDLL(sys.argv[2]).tell_twice
    tell_twice.argtypes = [ctypes.py_object, ctypes.py_object]
    repeat(5, lambda number: tell_twice(ValueError, "module.function"))
print(took)
