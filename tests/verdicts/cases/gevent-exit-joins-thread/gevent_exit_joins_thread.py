"""A patched thread that is no daemon outlives main."""
from gevent import monkey

monkey.patch_all()

import threading
import time

try:
    import queue
except ImportError:
    import Queue as queue

jobs = queue.Queue()


def work():
    while True:
        jobs.get()  # <-


sleeper = threading.Thread(target=time.sleep, args=(1000,))
sleeper.daemon = True
sleeper.start()
threading.Thread(target=work).start()
