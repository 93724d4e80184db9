"""A gevent server that nobody asks, with a timer and a thread pool that is idle, too."""
from gevent import monkey

monkey.patch_all()

import gevent
from gevent.server import StreamServer


def handle(sock, address):
    sock.recv(10)


def beat():
    while True:
        gevent.sleep(0.2)


gevent.spawn(beat)
gevent.get_hub().threadpool.apply(len, ("abc",))
StreamServer(("127.0.0.1", 0), handle).serve_forever()
