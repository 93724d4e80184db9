"""Two greenlets move between two accounts, in opposite directions; a third sleeps."""
import gevent
from gevent.lock import Semaphore

here, there = Semaphore(1), Semaphore(1)


def move(first, second):
    first.acquire()
    gevent.sleep(0.1)
    second.acquire()  # <-
    second.release()
    first.release()


gevent.spawn(gevent.sleep, 1000)
gevent.joinall([gevent.spawn(move, here, there), gevent.spawn(move, there, here)])
