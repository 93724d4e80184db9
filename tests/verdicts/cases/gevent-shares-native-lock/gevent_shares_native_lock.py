"""Two greenlets share a lock that was made before the patch."""
import threading

guard = threading.Lock()

from gevent import monkey

monkey.patch_all()

import gevent


def slow():
    with guard:
        gevent.sleep(0.2)  # <-


def other():
    gevent.sleep(0.05)
    with guard:  # <-
        pass


gevent.joinall([gevent.spawn(slow), gevent.spawn(other)])
