"""A native thread has a lock and waits for a greenlet; the greenlet waits for the lock, and so stops its hub."""
import threading

guard = threading.Lock()

import gevent
from gevent.threadpool import ThreadPool

asked = []


def job():
    with guard:
        answer = threading.Event()
        asked.append(answer)
        answer.wait()  # <-


def greenlet():
    while not asked:
        gevent.sleep(0.01)
    with guard:  # <-
        asked.pop().set()


pool = ThreadPool(1)
done = pool.spawn(job)
gevent.spawn(greenlet)
done.get()
