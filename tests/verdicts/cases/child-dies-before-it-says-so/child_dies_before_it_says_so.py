"""An event of multiprocessing whose setter has died."""
import multiprocessing
import os


def prepare(ready):
    os._exit(1)
    ready.set()


if __name__ == "__main__":
    ready = multiprocessing.Event()
    child = multiprocessing.Process(target=prepare, args=(ready,))
    child.start()
    child.join()
    ready.wait()  # <-
