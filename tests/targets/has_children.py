"""Children of every kind, each of which swallows `Swallowed in HOW`: `NAME PID` on stdout."""

import multiprocessing
import os
import subprocess
import sys


class Deleted(object):
    def __init__(self, name):
        self.name = name

    def __del__(self, error=ValueError):
        raise error(self.name)


def swallow(name):
    os.write(1, ("%s %d\n" % (name, os.getpid())).encode())
    Deleted(name)


def fork():
    pid = os.fork()
    if pid == 0:
        swallow("fork")
        os._exit(3)
    os.waitpid(pid, 0)


def double_fork():
    """A daemon: its parent is gone at once; it ends when the pipe says that it may."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            swallow("double_fork")
            os.write(writing, b"x")
        os._exit(0)
    os.waitpid(pid, 0)
    os.read(reading, 1)


def prefork():
    """Like gunicorn: all workers at once, each ends when it is told."""
    reading, writing = os.pipe()
    workers = []
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            swallow("prefork_%d" % number)
            os.read(reading, 1)
            os._exit(0)
        workers.append(pid)
    os.close(reading)
    os.close(writing)
    for pid in workers:
        os.waitpid(pid, 0)


def with_multiprocessing(method):
    if method is None:
        maker = multiprocessing
    elif hasattr(multiprocessing, "get_context"):
        maker = multiprocessing.get_context(method)
    else:
        return
    child = maker.Process(target=swallow, args=(method or "multiprocessing",))
    child.start()
    child.join()


def with_subprocess():
    subprocess.call([sys.executable, os.path.abspath(__file__), "subprocess"])
    subprocess.call([sys.executable, os.path.abspath(__file__), "preexec"], preexec_fn=os.getpid)
    subprocess.call(["/bin/sh", "-c", "echo sh $$"])


if len(sys.argv) > 1 and sys.argv[1] in ("subprocess", "preexec"):
    swallow(sys.argv[1])
elif __name__ == "__main__":
    fork()
    double_fork()
    prefork()
    with_subprocess()
    with_multiprocessing(None)
    with_multiprocessing("spawn")
    with_multiprocessing("forkserver")
    swallow("main")
