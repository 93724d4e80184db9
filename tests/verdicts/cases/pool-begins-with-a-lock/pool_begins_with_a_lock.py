"""A pool's worker cannot begin: it needs a lock that is kept by who waits for its results."""
import threading
from concurrent.futures import ThreadPoolExecutor

settings = threading.Lock()


def begin():
    with settings:  # <-
        pass


def read(number):
    return number


with settings:
    pool = ThreadPoolExecutor(max_workers=1, initializer=begin)
    pool.submit(read, 1).result()  # <-
