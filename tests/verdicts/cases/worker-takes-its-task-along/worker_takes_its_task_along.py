"""A worker of a pool calls sys.exit in the middle of its task."""
import multiprocessing
import sys


def leave(code):
    sys.exit(code)


if __name__ == "__main__":
    pool = multiprocessing.Pool(2)
    pool.apply(leave, (3,))  # <-
