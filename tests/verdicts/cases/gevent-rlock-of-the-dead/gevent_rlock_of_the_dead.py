"""A greenlet fails with the lock in its hands."""
import gevent
from gevent.lock import RLock

guard = RLock()


def update():
    guard.acquire()
    raise ValueError("no such row")


def read():
    with guard:  # <-
        pass


gevent.spawn(gevent.sleep, 1000)
gevent.spawn(update)
gevent.sleep(0.1)
gevent.spawn(read).join()
