"""Has one thread in each kind of system call; says which thread (by a number that /proc shows, too) waits for what."""

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

started = []


def start(name, function, **facts):
    """A thread that says its kernel's tid itself: a symlink of Linux that all versions can read."""
    known = threading.Event()
    entry = dict(facts, name=name)

    def run():
        entry["tid"] = int(os.readlink("/proc/thread-self").rsplit("/", 1)[1])
        known.set()
        function()

    thread = threading.Thread(target=run)
    thread.daemon = True
    thread.start()
    known.wait()
    started.append(entry)


def pipes():
    to_child, from_child = os.pipe(), os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", "import os, sys; os.read(0, 1)"], stdin=to_child[0], stdout=from_child[1]
    )
    os.close(from_child[1])
    start("pipe", lambda: os.read(from_child[0], 1), fd=from_child[0], pid=child.pid)
    start("child", child.wait, pid=child.pid)
    own = os.pipe()
    start("own_pipe", lambda: os.read(own[0], 1), fd=own[0], other=own[1])
    full = os.pipe()

    def fill():
        while True:
            os.write(full[1], b"x" * 65536)

    start("full_pipe", fill, fd=full[1], other=full[0])
    start("select", lambda: select.select([own[0]], [], [], None), fd=own[0], other=own[1])
    start("select_sleep", lambda: select.select([], [], [], 1000))
    poll = select.poll()
    poll.register(own[0], select.POLLIN)
    poll.register(from_child[0], select.POLLIN)
    start("poll", lambda: poll.poll(1000000), fds=[own[0], from_child[0]])
    epoll = select.epoll()
    epoll.register(own[0], select.EPOLLIN)
    epoll.register(from_child[0], select.EPOLLIN)
    start("epoll", epoll.poll, fd=epoll.fileno(), fds=[own[0], from_child[0]])
    return child, own, full, epoll


def sockets(port):
    ours, theirs = socket.socketpair()
    start("socketpair", lambda: ours.recv(1), fd=ours.fileno(), other=theirs.fileno())
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1)
    start("accept", listening.accept, fd=listening.fileno(), port=listening.getsockname()[1])
    client = socket.create_connection(("127.0.0.1", port))
    start("tcp", lambda: client.recv(1), fd=client.fileno(), port=port, own=client.getsockname()[1])
    never = socket.socket()
    never.bind(("127.0.0.1", 0))
    never.listen(0)
    waiting = socket.create_connection(never.getsockname())
    start("not_accepted", lambda: waiting.recv(1), fd=waiting.fileno(), other=never.fileno())
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    start("udp", lambda: datagrams.recv(1), fd=datagrams.fileno(), port=datagrams.getsockname()[1])
    path = os.path.join(folder, "socket")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    start("unix_accept", server.accept, fd=server.fileno(), path=path)
    return ours, theirs, listening, client, never, waiting, datagrams, server


def files():
    fifo = os.path.join(folder, "fifo")
    os.mkfifo(fifo)
    start("open_fifo", lambda: open(fifo, "rb"), path=fifo)
    lock = os.path.join(folder, "lock")
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.%s(f, fcntl.LOCK_EX); "
        "print('held'); sys.stdout.flush(); sys.stdin.read()"
    )
    holders = []
    for name, call in (("flock", "flock"), ("fcntl", "lockf")):
        holder = subprocess.Popen(
            [sys.executable, "-c", code % call, lock + name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        holder.stdout.readline()
        ours = open(lock + name, "a")
        start(name, lambda call=call, ours=ours: getattr(fcntl, call)(ours, fcntl.LOCK_EX), fd=ours.fileno(),
              pid=holder.pid)
        holders.append((holder, ours))
    return holders


if __name__ == "__main__":
    folder = tempfile.mkdtemp()
    kept = [pipes(), sockets(int(sys.argv[1])), files()]
    start("sleep", lambda: time.sleep(1000), began=time.time())
    if hasattr(signal, "sigwait"):
        start("sigwait", lambda: signal.sigwait([signal.SIGUSR2]))
    start("pause", signal.pause)
    sys.stdout.write("waits " + json.dumps({"folder": folder, "waits": started}) + "\nready\n")
    sys.stdout.flush()
    sys.stdin.read()
