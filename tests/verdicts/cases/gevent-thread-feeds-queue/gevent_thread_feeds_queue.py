"""A thread of CPython's own puts an item into a queue of gevent's."""
import threading
import time

import gevent
from gevent.queue import Queue

items = Queue()


def feed():
    time.sleep(0.7)
    items.put("item")
    time.sleep(1000)


thread = threading.Thread(target=feed)
thread.daemon = True
thread.start()
gevent.spawn(gevent.sleep, 1000)
items.get()  # <-
