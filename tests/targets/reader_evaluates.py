"""Evaluates each line of its stdin, keeps the value, and says where it is and what repr() prints of it."""

import json
import os  # noqa: F401 - for the lines
import sys
import threading  # noqa: F401 - for the lines

kept = []


def raised(expression):
    """The exception that evaluating the expression raises."""
    try:
        eval(expression)
    except BaseException as error:
        return error


class Told(ValueError):
    def __str__(self):
        return "told"


class Kept(ValueError):
    def __init__(self, first, second):
        super(Kept, self).__init__(first)
        self.second = second


sys.stdout.write("ready\n")
sys.stdout.flush()
while True:
    line = sys.stdin.readline()
    if not line:
        break
    value = eval(line)
    kept.append(value)
    try:
        shown = str(value) if isinstance(value, BaseException) and line.startswith("raised(") else repr(value)
    except (ValueError, RuntimeError):  # an int with more digits than Python prints; what contains itself
        shown = ""
    if sys.version_info[0] == 2:
        shown = shown.decode("latin-1")
    sys.stdout.write("value %d %s\n" % (len(kept), json.dumps([len(kept), id(value), shown])))
    sys.stdout.flush()
