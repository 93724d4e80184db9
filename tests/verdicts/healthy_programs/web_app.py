"""A web application, for every server that speaks WSGI: it works a little, under a lock, and waits a little."""

import threading
import time

lock = threading.Lock()
stuck = threading.Lock()


def work():
    with lock:
        total = sum(number * number for number in range(2000))
    time.sleep(0.002)
    return total


def application(environ, start_response):
    path = environ.get("PATH_INFO", "/")
    if path == "/work":
        work()
    elif path == "/stuck":
        with stuck:
            with stuck:  # the bug of the broken variants
                pass
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
