"""multiprocessing.Pool: python pool_of_processes.py idle|busy."""

import multiprocessing
import os
import sys
import time

from web_app import work


def one(_):
    return work()


def main():
    pool = multiprocessing.Pool(3)
    pool.map(one, range(10))
    open(os.path.join(os.environ["LASTWORDS_FOLDER"], "ready"), "w").close()
    while True:
        if sys.argv[1] == "idle":
            time.sleep(3600)
        pool.map(one, range(200))


if __name__ == "__main__":
    main()
