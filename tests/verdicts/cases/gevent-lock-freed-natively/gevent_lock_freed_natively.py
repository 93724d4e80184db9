"""A native thread without a hub has a lock of gevent's and gives it back: the greenlet that waits is not told."""
from gevent import monkey

monkey.patch_all()
import threading

import gevent

start_native = monkey.get_original("_thread", "start_new_thread")
sleep_natively = monkey.get_original("time", "sleep")
stamps = threading.Lock()


def export():
    with stamps:
        has_it.append(True)
        while not stamps.linkcount():
            sleep_natively(0.01)
        sleep_natively(0.5)


has_it = []
start_native(export, ())
while not has_it:
    gevent.sleep(0.01)
ticker = gevent.spawn(lambda: [gevent.sleep(0.3) for _ in range(10000)])
with stamps:  # <-
    print("it was told")
