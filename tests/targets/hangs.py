"""Hangs, or does not quite: the first argument says how. It says `ready` when it is there; its exit code is 5.

exit FILE     its exit waits for a thread, until FILE is there; then the thread swallows an exception, many times
deadlock      two threads wait for each other's lock
children      the exit of a child waits for a thread, and the parent for the child
moves SECONDS its exit takes so long, but every now and then one more thread ends
just SECONDS  its exit waits for a thread so long
stubborn      ignores SIGTERM, and so does a child
survives      as survives.py: `pid N` first, a hang at its exit, `end` last, and exit code 7
"""

import os
import signal
import sys
import threading
import time


class Fails(object):
    def __del__(self):
        raise ValueError("after")


def say(word):
    os.write(1, (word + "\n").encode())


def swallow(times):
    for _ in range(times):
        Fails()
        time.sleep(0.05)


def wait_for_file():
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
    swallow(10)


def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, name=function.__name__)
    thread.start()
    return thread


first, second = threading.Lock(), threading.Lock()
both = threading.Event(), threading.Event()


def want(own, other, mine, others):
    with own:
        mine.set()
        others.wait()
        with other:
            pass


def deadlock():
    threads = [start(want, first, second, both[0], both[1]), start(want, second, first, both[1], both[0])]
    say("ready %d" % os.getpid())
    for thread in threads:
        thread.join()


def children():
    pid = os.fork()
    if pid == 0:
        first.acquire()
        start(first.acquire)
        say("ready %d %d" % (os.getppid(), os.getpid()))
        return
    os.waitpid(pid, 0)


def moves():
    for number in range(10):
        start(time.sleep, (number + 1) * float(sys.argv[2]) / 10)


def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.fork()
    say("ready")
    while True:
        time.sleep(1)


def end():
    swallow(70)
    say("end")
    os._exit(7)


def main():
    how = sys.argv[1]
    if how == "exit":
        start(wait_for_file)
    elif how == "just":
        start(time.sleep, float(sys.argv[2]))
    elif how == "survives":
        say("pid %d" % os.getpid())
        start(end)
    else:
        {"deadlock": deadlock, "children": children, "moves": moves, "stubborn": stubborn}[how]()
    if how in ("exit", "just", "moves"):
        say("ready")


main()
sys.exit(5)
