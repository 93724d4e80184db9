"""A tree of processes: `has_workers.py METHOD [COUNT]`.

METHOD by_hand: COUNT children by os.fork that wait on a pipe of their parent's, one of `sleep`, the parent waits for
the first of them; else a start method of multiprocessing (fork, spawn, forkserver): workers wait for a queue, and the
parent joins the first.
"""

import os
import subprocess
import sys


def say(text):
    os.write(1, (text + "\n").encode())


def work(reading):
    os.read(reading, 1)


def by_hand(count):
    reading, writing = os.pipe()
    workers = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            say("worker %d" % os.getpid())
            work(reading)
            os._exit(0)
        workers.append(pid)
    os.close(reading)
    sleeper = subprocess.Popen(["sleep", "1000"], close_fds=True)
    say("sleeper %d" % sleeper.pid)
    say("ready")
    os.waitpid(workers[0], 0)


def serve(queue):
    say("worker %d" % os.getpid())
    queue.get()


def by_multiprocessing(method, count):
    import multiprocessing

    context = multiprocessing.get_context(method)
    queue = context.Queue()
    workers = [context.Process(target=serve, args=(queue,)) for _ in range(count)]
    for worker in workers:
        worker.start()
    say("ready")
    workers[0].join()


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    if sys.argv[1] == "by_hand":
        by_hand(count)
    else:
        by_multiprocessing(sys.argv[1], count)
