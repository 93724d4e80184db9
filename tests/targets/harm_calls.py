"""Waits in many system calls, in C and in Python: `harm_calls.py LIBRARY SECONDS`. Tells what came of each. 2.7 and up.

LIBRARY is harm_calls.c. A line for each: "NAME OUTCOME MILLISECONDS", then "over". The threads have the calls' names;
those of Python begin with "py ".
"""
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

SECONDS = int(sys.argv[2])
library = ctypes.CDLL(sys.argv[1])
clock = getattr(time, "monotonic", time.time)
kept = []
outcomes = {}


def later(wake):
    timer = threading.Timer(SECONDS, wake)
    timer.daemon = True
    timer.start()


def read_pipe():
    reader, writer = os.pipe()
    later(lambda: os.write(writer, b"x"))
    os.read(reader, 1)


def receive(timeout):
    one, two = pair = socket.socketpair()
    kept.append(pair)
    if timeout:
        one.settimeout(SECONDS)
    else:
        later(lambda: two.send(b"x"))
    try:
        one.recv(1)
    except socket.timeout:
        pass


def accept(timeout):
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    if timeout:
        server.settimeout(SECONDS)
    else:
        later(lambda: kept.append(socket.create_connection(server.getsockname())))
    try:
        server.accept()
    except socket.timeout:
        pass


def acquire():
    lock = threading.Lock()
    lock.acquire()
    later(lock.release)
    lock.acquire()


def write_pipe():
    reader, writer = os.pipe()
    later(lambda: drain(reader))
    if os.write(writer, b"x" * 300000) != 300000:
        raise OSError(0, "short")


def drain(reader):
    left = 300000
    while left:
        left -= len(os.read(reader, left))


WAYS = {
    "time.sleep": lambda: time.sleep(SECONDS),
    "select": lambda: select.select([], [], [], SECONDS),
    "poll": lambda: select.poll().poll(SECONDS * 1000),
    "epoll": lambda: select.epoll().poll(SECONDS),
    "os.read": read_pipe,
    "os.write": write_pipe,
    "recv": lambda: receive(False),
    "recv timeout": lambda: receive(True),
    "accept": lambda: accept(False),
    "accept timeout": lambda: accept(True),
    "Popen.wait": lambda: subprocess.Popen(["sleep", str(SECONDS)]).wait(),
    "Lock": acquire,
    "Event.wait": lambda: threading.Event().wait(SECONDS),
}


def run(name):
    ctypes.CDLL(None).prctl(15, ("py " + name).encode())  # PR_SET_NAME
    begun = clock()
    try:
        WAYS[name]()
        outcome = "ok"
    except Exception as error:
        number = error.args[0] if error.args else None
        outcome = {4: "EINTR", 0: "short"}.get(number, type(error).__name__)
    outcomes[name] = "py %s %s %d" % (name, outcome, (clock() - begun) * 1000)


handles = (ctypes.c_ulong * 100)()
threads = [threading.Thread(target=run, args=(name,)) for name in WAYS]
for thread in threads:
    thread.start()
count = library.begin(SECONDS, handles)
sys.stdout.write("ready %d\n" % (count + len(threads)))
sys.stdout.flush()
text = ctypes.create_string_buffer(200)
for at in range(count):
    library.end(ctypes.c_ulong(handles[at]), at, text, len(text))
    sys.stdout.write("call %s\n" % text.value.decode())
for thread in threads:
    thread.join()
for line in outcomes.values():
    sys.stdout.write("call %s\n" % line)
sys.stdout.write("over\n")
sys.stdout.flush()
os._exit(0)
