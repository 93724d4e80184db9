"""A greenlet stops its thread for a lock of another thread, which waits for a lock of a greenlet that has given way."""
import threading

import gevent

log, table = threading.Lock(), threading.Lock()


def edit():
    with table:
        gevent.sleep(0.5)  # <-


def write():
    gevent.sleep(0.2)
    with log:  # <-
        pass


def flush():
    with log:
        with table:  # <-
            pass


editor, writer = gevent.spawn(edit), gevent.spawn(write)
gevent.sleep(0.05)
threading.Thread(target=flush, name="flusher").start()
gevent.joinall([editor, writer])
