"""One thread for each way to wait, and one line that says from inside what each of them waits for.

On a first line from stdin it lets a thread keep the GIL inside C code, and the main thread wants it.
"""

import ctypes
import json
import multiprocessing
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

try:
    import queue
except ImportError:
    import Queue as queue
try:
    from concurrent.futures import Future
except ImportError:
    Future = None

LONG = 10000.0
BODY = "import __main__\n__main__.gate.acquire()\n"
facts = {}


def start(name, function, kind, waits_for=None, *arguments, **more):
    """A thread that calls the function; `waits_for` are the objects of which one is right, `target` a pid or ident."""

    def run():
        idents[name] = threading.current_thread().ident
        function(*arguments)

    thread = threading.Thread(target=run, name=name)
    thread.daemon = True
    thread.start()
    objects = waits_for if isinstance(waits_for, tuple) else (waits_for,)
    facts[name] = {"kind": kind, "objects": [id(one) for one in objects if one is not None]}
    facts[name].update(more)
    return thread


def held(lock):
    lock.acquire()
    return lock


class Guarded(object):
    def __init__(self):
        self.lock = held(threading.Lock())

    def use(self):
        with self.lock:
            pass


class Mixed(queue.LifoQueue):
    pass


def acquire_global():
    gate.acquire()


def acquire_among_others(wanted):
    others = [held(threading.Lock()) for _ in range(3)]
    first, second = others[0], others[1]
    first.release()
    with first:
        pass
    with wanted:
        del second


def wait_within(condition, *arguments):
    with condition:
        condition.wait(*arguments)


def pass_then_read(lock, fd):
    with lock:
        pass
    os.read(fd, 1)


def start_plain_locks():
    for name in ("acquire", "with", "self", "global", "among others"):
        guarded = Guarded()
        ways = {
            "acquire": guarded.lock.acquire,
            "with": lambda lock=guarded.lock: lock.__enter__(),
            "self": guarded.use,
            "global": acquire_global,
            "among others": lambda lock=guarded.lock: acquire_among_others(lock),
        }
        start("lock " + name, ways[name], "lock", gate if name == "global" else guarded.lock)
    timed = held(threading.Lock())
    if sys.version_info[0] > 2:
        start("lock timed", timed.acquire, "lock", timed, True, LONG, until=time.time() + LONG)
    rlock = held(threading.RLock())
    start("rlock", rlock.acquire, "lock", rlock)
    python_rlock = held(getattr(threading, "_PyRLock", threading.RLock)())
    start("rlock of Python", python_rlock.acquire, "lock", python_rlock)
    passed, (reader, writer) = threading.Lock(), os.pipe()
    start("passed a lock", pass_then_read, "io", None, passed, reader)
    start("knows a free lock", lambda lock: time.sleep(LONG), "sleep", None, passed)
    keep.append(writer)


def start_conditions():
    for name, arguments in (("", ()), (" timed", (LONG,))):
        until = {"until": time.time() + LONG} if name else {}
        condition, event = threading.Condition(), threading.Event()
        start("condition" + name, wait_within, "condition", condition, condition, *arguments, **until)
        start("event" + name, event.wait, "event", event, *arguments, **until)
        box = queue.Queue()
        start("queue get" + name, box.get, "queue", box, True, *arguments)
    semaphore, bounded = threading.Semaphore(0), threading.BoundedSemaphore(1)
    start("semaphore", semaphore.acquire, "lock", semaphore)
    bounded.acquire()
    start("bounded semaphore", bounded.__enter__, "lock", bounded)
    if hasattr(threading, "Barrier"):
        barrier = threading.Barrier(3)
        start("barrier", barrier.wait, "condition", barrier)
    if Future:
        future = Future()
        start("future", future.result, "condition", future)
    notified = threading.Condition(held(threading.Lock()))
    notified.release()
    start("notified", wait_within, "lock", notified._lock if PYTHON_3 else notified._Condition__lock, notified)
    while not (notified._waiters if PYTHON_3 else notified._Condition__waiters):
        time.sleep(0.001)
    with_lock = notified.acquire()
    assert with_lock
    notified.notify()


def start_queues():
    full = Mixed(1)
    full.put(1)
    start("queue put", full.put, "queue", full, 2)
    start("queue join", full.join, "queue", full)
    if hasattr(queue, "SimpleQueue"):
        simple = queue.SimpleQueue()
        start("simple queue", simple.get, "queue", simple)


def start_joins():
    for name in ("condition", "event timed"):
        thread = next(one for one in threading.enumerate() if one.name == name)
        start("join " + name, thread.join, "join", thread, target=thread.ident)


def start_imports():
    directory = tempfile.mkdtemp()
    with open(os.path.join(directory, "lastwords_slow.py"), "w") as file:
        file.write(BODY)
    sys.path.insert(0, directory)
    importer = start("importer", __import__, "lock", gate, "lastwords_slow")
    while "lastwords_slow" not in sys.modules:
        time.sleep(0.001)
    locks = [one() for name, one in getattr(bootstrap, "_module_locks", {}).items() if name == "lastwords_slow"]
    start("imports too", import_it, "import_lock", tuple(locks), target=importer.ident)


def import_it():
    import lastwords_slow  # noqa: F401, PLC0415


def start_kernel_waits():
    reader, writer = os.pipe()
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    child = subprocess.Popen([sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    keep.extend([writer, server, child])
    start("select", lambda: select.select([reader], [], []), "io")
    start("accept", server.accept, "io")
    start("read", os.read, "io", None, reader, 1)
    start("waitpid", lambda: os.waitpid(child.pid, 0), "process", target=child.pid)
    start("popen wait", child.wait, "process", target=child.pid)
    if PYTHON_3:
        polled = subprocess.Popen(child.args, stdin=subprocess.PIPE)
        keep.append(polled)
        start("popen wait timed", polled.wait, "process", None, LONG, target=polled.pid)
    start("sleep", time.sleep, "sleep", None, LONG)


def start_processes_locks():
    lock, box = multiprocessing.Lock(), multiprocessing.Queue()
    lock.acquire()
    keep.extend([lock, box])
    start("multiprocessing lock", lock.acquire, "lock", (lock, lock._semlock))
    start("multiprocessing lock with", lock.__enter__, "lock", (lock, lock._semlock))
    start("multiprocessing queue", box.get, "io")


def start_without_python():
    libc = ctypes.CDLL(None)
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, libc.pause, None) == 0


def keep_gil():
    ctypes.PyDLL(None).sleep(int(LONG))


if __name__ == "__main__":
    PYTHON_3 = sys.version_info[0] > 2
    bootstrap = sys.modules.get("_frozen_importlib")
    idents, keep = {}, []
    gate = held(threading.Lock())
    start_plain_locks()
    start_conditions()
    start_queues()
    start_joins()
    start_kernel_waits()
    start_processes_locks()
    start_without_python()
    start_imports()
    while len(idents) < len(facts):
        time.sleep(0.001)
    for name, ident in idents.items():
        facts[name]["ident"] = ident
    sys.stdout.write("facts " + json.dumps(facts) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()
    holder = threading.Thread(target=keep_gil)
    holder.daemon = True
    holder.start()
    while True:
        pass
