"""Swallows an exception while one thread holds a lock that another waits for; both sleep in the kernel by then."""

import os
import threading

lock = threading.Lock()
inside = threading.Event()
never = threading.Event()


class Broken(object):
    def __del__(self):
        raise ValueError("lost")


def hold():
    with lock:
        inside.set()
        never.wait()


def want():
    with lock:
        pass


def where_threads_wait():
    places = []
    for tid in os.listdir("/proc/self/task"):
        if int(tid) != os.getpid():
            with open("/proc/self/task/%s/syscall" % tid) as file:
                places.append(file.read())
    return sorted(places)


def start(function, name):
    thread = threading.Thread(target=function, name=name)
    thread.daemon = True
    thread.start()


start(hold, "holder")
inside.wait()
start(want, "waiter")
before = None
now = where_threads_wait()
while before != now or len(now) != 2 or any(place.startswith("running") for place in now):
    before, now = now, where_threads_wait()
    [None for _ in range(20000)]
broken = Broken()
del broken
