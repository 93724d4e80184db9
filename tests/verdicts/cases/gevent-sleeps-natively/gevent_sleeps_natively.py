"""A greenlet sleeps by the function that was imported before the patch."""
from time import sleep as pause

from gevent import monkey

monkey.patch_all()

import gevent


def collect():
    gevent.sleep(0.1)
    pause(1000)  # <-


def tick():
    while True:
        gevent.sleep(0.05)


gevent.joinall([gevent.spawn(tick), gevent.spawn(collect)])
