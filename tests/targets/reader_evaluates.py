"""Evaluates each line of its stdin, keeps the value, and says where it is and what repr() prints of it."""

import json
import os  # noqa: F401 - for the lines
import sys
import threading  # noqa: F401 - for the lines

kept = []
sys.stdout.write("ready\n")
sys.stdout.flush()
while True:
    line = sys.stdin.readline()
    if not line:
        break
    value = eval(line)
    kept.append(value)
    try:
        shown = repr(value)
    except ValueError:  # an int with more digits than Python prints
        shown = ""
    if sys.version_info[0] == 2:
        shown = shown.decode("latin-1")
    sys.stdout.write("value %d %s\n" % (len(kept), json.dumps([len(kept), id(value), shown])))
    sys.stdout.flush()
