"""An urgent job is put first, into the deque itself: nobody is woken."""
import threading

try:
    import queue
except ImportError:
    import Queue as queue

jobs = queue.Queue()


def work():
    jobs.get()  # <-


worker = threading.Thread(target=work, name="worker")
worker.start()
while not jobs.not_empty._waiters if hasattr(jobs.not_empty, "_waiters") else not jobs.not_empty._Condition__waiters:
    pass
jobs.queue.appendleft("urgent")
worker.join()
