"""One thread reads a pipe with the lock in hand; the other wants the lock."""
import os
import threading

cache = threading.Lock()
reading, writing = os.pipe()
taken = threading.Event()


def refresh():
    with cache:
        taken.set()
        os.read(reading, 1)  # <-


threading.Thread(target=refresh, name="refresh").start()
taken.wait()
with cache:  # <-
    os.write(writing, b"x")
