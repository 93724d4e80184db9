"""Has locks of every kind in many states, and says from inside what they are: kind, locked, owner, count."""

import json
import multiprocessing
import sys
import threading

try:
    import queue
except ImportError:
    import Queue as queue
try:
    from concurrent.futures import Future
except ImportError:
    Future = None

ME = threading.current_thread().ident
facts = []
keep = []


def tell(kind, one, locked=None, owner=None, count=None):
    keep.append(one)
    facts.append({"kind": kind, "address": id(one), "locked": locked, "owner": owner, "count": count})
    return one


def held(lock, times=1):
    for _ in range(times):
        lock.acquire()
    return lock


class Mixin(object):
    pass


class MyQueue(queue.Queue, Mixin):
    pass


class MyThread(Mixin, threading.Thread):
    pass


class Condition(object):
    """Only called like one."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiters = []


class Lock(object):
    pass


def tell_locks():
    tell("lock", threading.Lock(), False)
    tell("lock", held(threading.Lock()), True)
    released = held(threading.Lock())
    released.release()
    tell("lock", released, False)
    for make in {threading.RLock, getattr(threading, "_PyRLock", threading.RLock)}:
        tell("rlock", make(), False, None, 0)
        tell("rlock", held(make()), True, ME, 1)
        tell("rlock", held(make(), 3), True, ME, 3)
        left = held(make())
        left.release()
        tell("rlock", left, False, None, 0)


def tell_conditions():
    tell("condition", threading.Condition(), False, None, 0)
    tell("condition", held(threading.Condition(), 2), True, ME, 0)
    tell("condition", held(threading.Condition(threading.Lock())), True, None, 0)
    tell("event", threading.Event(), None, None, 0)
    tell("event", threading.Event(), None, None, 1).set()
    tell("semaphore", threading.Semaphore(3), False, None, 3)
    tell("semaphore", held(threading.BoundedSemaphore(2), 2), True, None, 0)
    if hasattr(threading, "Barrier"):
        tell("barrier", threading.Barrier(3), None, None, 0)
    if Future:
        tell("future", Future())
    waiting = threading.Condition()
    thread = threading.Thread(target=wait_in, args=(waiting,))
    thread.daemon = True
    thread.start()
    while not (waiting._waiters if hasattr(waiting, "_waiters") else waiting._Condition__waiters):
        pass
    tell("condition", waiting, False, None, 1)
    tell("thread", thread, True, thread.ident)


def wait_in(condition):
    with condition:
        condition.wait()


def tell_queues():
    for make in (queue.Queue, queue.LifoQueue, queue.PriorityQueue, MyQueue):
        tell("queue", make())
        facts[-1]["count"] = 0
        box = tell("queue", make(5), None, None, 3)
        for number in range(3):
            box.put(number)
    if hasattr(queue, "SimpleQueue"):
        tell("simple_queue", queue.SimpleQueue(), None, None, 0)
        box = tell("simple_queue", queue.SimpleQueue(), None, None, 40)
        for number in range(140):
            box.put(number)
        for _ in range(100):
            box.get()


def tell_threads():
    tell("thread", threading.current_thread(), True, ME)
    tell("thread", MyThread(), False)
    ended = MyThread()
    ended.start()
    ended.join()
    tell("thread", ended, False, ended.ident)
    for name in ("_handle", "_os_thread_handle"):
        if hasattr(ended, name):
            tell("thread_handle", getattr(ended, name), False, ended.ident)
            tell("thread_handle", getattr(threading.current_thread(), name), True, ME)


def tell_locks_of_processes():
    for make in (multiprocessing.Lock, multiprocessing.RLock, multiprocessing.Semaphore):
        kind = "process_semaphore" if make is multiprocessing.Semaphore else "process_lock"
        tell(kind, make(), False, None, 0)
        lock = tell(kind, held(make()), True, ME if make is multiprocessing.RLock else None, 1)
        tell(kind, lock._semlock, True, facts[-1]["owner"], 1)
    tell("process_condition", multiprocessing.Condition())
    tell("process_event", multiprocessing.Event())
    tell("process_queue", multiprocessing.JoinableQueue())
    if hasattr(multiprocessing, "Barrier"):
        tell("process_barrier", multiprocessing.Barrier(2))


def tell_module_locks():
    bootstrap = sys.modules.get("_frozen_importlib")
    if bootstrap:
        tell("module_lock", bootstrap._ModuleLock("free"), False, None, 0)
        tell("module_lock", held(bootstrap._ModuleLock("held"), 2), True, ME, 2)


def tell_others():
    """Named like locks, made like locks; none is one."""
    named = type("lock", (object,), {"acquire": held})
    named.__module__ = "_thread"
    others = [object(), [], {}, None, 1, "lock", type, threading, threading.Lock, Lock(), Condition(), named()]
    for one in others:
        tell(None, one)


if __name__ == "__main__":
    for told in (tell_locks, tell_conditions, tell_queues, tell_threads, tell_locks_of_processes, tell_module_locks):
        told()
    tell_others()
    sys.stdout.write("facts " + json.dumps(facts) + "\nready\n")
    sys.stdout.flush()
    sys.stdin.readline()
