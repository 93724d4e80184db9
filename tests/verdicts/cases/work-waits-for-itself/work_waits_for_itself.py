"""A job that waits for its own result."""
import threading
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(2)
submitted = threading.Event()


def job():
    submitted.wait()
    return mine.result()  # <-


mine = pool.submit(job)
submitted.set()
mine.result()
