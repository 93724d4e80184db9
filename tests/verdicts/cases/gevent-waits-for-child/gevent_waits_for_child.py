"""A greenlet waits in C for a child; the others stand still."""
import os

import gevent

child = os.fork()
if not child:
    os.execvp("sleep", ["sleep", "1000"])


def reap():
    gevent.sleep(0)
    os.waitpid(child, 0)  # <-


def beat():
    while True:
        gevent.sleep(0.05)


gevent.joinall([gevent.spawn(beat), gevent.spawn(reap)])
