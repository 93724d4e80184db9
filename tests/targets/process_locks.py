"""Locks of processes, each in a state of its own, and a thread that waits for each; their names say who has them.

`taken` and `recursive` are the main thread's, without a `with` block; `handed` it gave back inside one, and a child
has it since; `child` is only ever the child's.
"""
import multiprocessing
import sys
import threading
import time

NAMES = ("taken", "recursive", "handed", "child")


def take(locks, told, go):
    for name in ("handed", "child"):
        locks[name].acquire()
    told.send(None)
    go.recv()


def wait(lock):
    with lock:
        pass


def main():
    if sys.version_info >= (3,):
        multiprocessing.set_start_method("fork")
    locks = {name: multiprocessing.RLock() if name == "recursive" else multiprocessing.Lock() for name in NAMES}
    said, told = multiprocessing.Pipe()
    wait_here, go = multiprocessing.Pipe()
    with locks["handed"]:
        locks["handed"].release()
        child = multiprocessing.Process(target=take, args=(locks, told, wait_here))
        child.start()
        said.recv()
        locks["taken"].acquire()
        locks["recursive"].acquire()
        for name in NAMES:
            one = threading.Thread(target=wait, args=(locks[name],), name=name)
            one.daemon = True
            one.start()
        print("ready")
        sys.stdout.flush()
        while True:
            time.sleep(1000)


if __name__ == "__main__":
    main()
