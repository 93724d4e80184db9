"""Waits in several ways, and tells the ident of the thread that does so in each. Ends with 7 at the end of its input.

2.7 and up.
"""

import json
import os
import select
import sys
import threading
import time

lock = threading.Lock()
lock.acquire()
reader, writer = os.pipe()
poll = select.poll()
poll.register(reader)
idents = {}
WAYS = {
    "futex": lambda: lock.acquire(),
    "poll": lambda: poll.poll(600000),
    "sleep": lambda: time.sleep(600),
    "read": lambda: os.read(reader, 1),
    "epoll_wait": lambda: select.epoll().poll(600),
}
if sys.version_info[0] > 2:
    WAYS["timed futex"] = lambda: lock.acquire(timeout=600)


def wait(name, go):
    idents[name] = threading.current_thread().ident
    go.set()
    WAYS[name]()


for name in WAYS:
    go = threading.Event()
    thread = threading.Thread(target=wait, args=(name, go))
    thread.daemon = True
    thread.start()
    go.wait()
idents["main"] = threading.current_thread().ident
sys.stdout.write("idents %s\nready\n" % json.dumps(idents))
sys.stdout.flush()
sys.stdin.readline()
os._exit(7)
