"""A connection whose other end the parent forgot to close."""
import multiprocessing
import os


def answer(connection):
    os._exit(1)


if __name__ == "__main__":
    here, there = multiprocessing.Pipe()
    child = multiprocessing.Process(target=answer, args=(there,))
    child.start()
    child.join()
    here.recv()  # <-
