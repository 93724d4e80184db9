"""A worker waits for another pool, whose worker reads: nobody is starved."""
import os
from concurrent.futures import ThreadPoolExecutor

front, back = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
source, sink = os.pipe()


def serve():
    return back.submit(os.read, source, 1).result()


front.submit(serve).result()  # <-
