# -*- coding: utf-8 -*-
"""Stands at a `try` inside a `with` block, before its first statement: held there by a trace function."""

import sys
import threading

lock = threading.Lock()


def stop_at_try(frame, event, arg):
    if event == "line" and frame.f_lineno == frame.f_code.co_firstlineno + 3:
        sys.settrace(None)
        sys.stdout.write("ready %d\n" % id(lock))
        sys.stdout.flush()
        threading.Event().wait()
    return stop_at_try


def work():
    with lock:
        number = 1
        try:  # <- here
            number += 1
        finally:
            number += 2


if __name__ == "__main__":
    sys.settrace(stop_at_try)
    work()
