"""A C function that sleeps without giving the GIL back."""
import ctypes
import threading
import time


def count():
    while True:
        time.sleep(0.05)


counting = threading.Thread(target=count, name="count")
counting.daemon = True
counting.start()
ctypes.PyDLL(None).sleep(1000)  # <-
