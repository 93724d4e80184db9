# -*- coding: utf-8 -*-
"""Threads that take and leave two locks all the time, and keep in a list who is inside.

Says `ready` with the addresses of list and lock, twice.
"""

import sys
import threading

lock = threading.Lock()
condition = threading.Condition(threading.Lock())
inside, inside_condition = [0], [0]


def work_a_while():
    for _ in range(200):
        pass


def work():
    me = threading.current_thread().ident
    number = 0
    while True:
        with lock:
            inside[0] = me
            work_a_while()
            try:
                if number % 7 == 0:
                    raise ValueError
            except ValueError:
                number += 2
            finally:
                number += 3
            inside[0] = 0
        try:
            with lock:
                inside[0] = me
                if number % 3 == 0:
                    inside[0] = 0
                    raise KeyError
                inside[0] = 0
        except KeyError:
            pass
        with condition:
            inside_condition[0] = me
            condition.notify()
            work_a_while()
            number += 1
            inside_condition[0] = 0
            if number % 50 == 0:
                condition.wait(0.001)


if __name__ == "__main__":
    for _ in range(6):
        thread = threading.Thread(target=work)
        thread.daemon = True
        thread.start()
    below = getattr(condition, "_lock", None) or condition._Condition__lock
    ids = [id(one) for one in (inside, lock, inside_condition, below)]
    sys.stdout.write("ready %s\n" % " ".join(map(str, ids)))
    sys.stdout.flush()
    threading.Event().wait()
