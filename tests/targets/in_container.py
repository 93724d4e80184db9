"""A thread for each thing that `attach` must also tell of a process in a container; one line of facts about them.

It needs no network, no file that it may write, and no module made in C that a small Python lacks.
"""

import json
import os
import socket
import sys
import threading

lock = threading.Lock()
gate = threading.Lock()
gate.acquire()
here, there = socket.socketpair()
listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listening.bind(("0.0.0.0", 0))
listening.listen(1)
readable, writable = os.pipe()
natives = {}


def start(name, function):
    def run():
        if hasattr(threading, "get_native_id"):
            natives[name] = threading.get_native_id()
        started.set()
        function()

    started = threading.Event()
    thread = threading.Thread(target=run, name=name)
    thread.daemon = True
    thread.start()
    started.wait()
    return thread


def hold():
    with lock:
        gate.acquire()  # holds


def want():
    with lock:  # wants
        pass


def reap():
    os.waitpid(child, 0)  # reaps


def read():
    os.read(readable, 1)  # reads


def accept():
    listening.accept()  # accepts


def receive():
    here.recv(1)  # receives


child = os.fork()
if child == 0:
    os.close(writable)
    os.read(readable, 1)
    os._exit(0)
start("holds", hold)
while not lock.locked():
    pass
wanting = start("wants", want)
for name, function in (("reaps", reap), ("reads", read), ("accepts", accept), ("receives", receive)):
    start(name, function)
facts = {
    "pid": os.getpid(), "child": child, "natives": natives, "cwd": os.getcwd(), "port": listening.getsockname()[1],
    "version": "%d.%d.%d" % sys.version_info[:3], "executable": os.path.realpath("/proc/self/exe"),
    "locks": {"holds": id(gate), "wants": id(lock)}, "idents": {one.name: one.ident for one in threading.enumerate()},
}  # fmt: skip
print("facts " + json.dumps(facts))
sys.stdout.flush()
wanting.join()  # joins
