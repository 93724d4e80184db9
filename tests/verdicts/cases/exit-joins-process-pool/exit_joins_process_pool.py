"""A ProcessPoolExecutor whose work does not end."""
import time
from concurrent.futures import ProcessPoolExecutor


def work():
    time.sleep(100000)  # <-


if __name__ == "__main__":
    pool = ProcessPoolExecutor(1)
    pool.submit(work)
