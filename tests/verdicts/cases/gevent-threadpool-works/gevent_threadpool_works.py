"""A native thread of gevent's pool waits natively: that is what it is there for."""
import os

import gevent

source, sink = os.pipe()


def beat():
    while True:
        gevent.sleep(0.2)


beating = gevent.spawn(beat)
gevent.get_hub().threadpool.spawn(os.read, source, 1)
beating.join()
