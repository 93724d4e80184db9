"""A server's idleness and a client's wait, by descriptors of our own."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.kernel_wait import KernelWait
from lastwords.capture.kernel.serving import is_serving


def serves(*fds: int, call: str = "recvfrom") -> bool | None:
    return is_serving(KernelWait("io", call, "", fds=fds), Facts(os.getpid()))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_who_was_connected_to_serves_and_who_connected_does_not(family: socket.AddressFamily, stack: ExitStack) -> None:
    server = stack.enter_context(socket.socket(family))
    server.bind("\0lastwords-test-serving" if family == socket.AF_UNIX else ("", 0))
    server.listen()
    client = stack.enter_context(socket.socket(family))
    client.connect(server.getsockname())
    accepted = stack.enter_context(server.accept()[0])
    assert serves(server.fileno(), call="poll") is True
    assert serves(accepted.fileno()) is True
    assert serves(client.fileno()) is (family == socket.AF_UNIX)  # a pair of our own may wake us


def test_a_client_of_another_process(stack: ExitStack) -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    server = stack.enter_context(
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert server.stdout is not None
    client = stack.enter_context(socket.create_connection(("127.0.0.1", int(server.stdout.readline()))))
    assert serves(client.fileno()) is False
    assert serves(client.fileno(), call="sendto") is None
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    assert serves(client.fileno(), listener.fileno(), call="select") is True
    assert serves(server.stdout.fileno(), call="read") is False  # a pipe from a child
    server.communicate("\n")


def test_pipes_terminals_and_loops(stack: ExitStack) -> None:
    reader, writer = os.pipe()
    master, terminal = pty.openpty()
    for fd in (reader, writer, master, terminal):
        stack.callback(os.close, fd)
    epoll = stack.enter_context(select.epoll())
    datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    datagrams.bind(("127.0.0.1", 0))
    assert serves(reader, call="read") is True  # we write to it ourselves
    assert serves(terminal, call="read") is True
    assert serves(epoll.fileno(), call="epoll_wait") is True
    assert serves(datagrams.fileno()) is True
    connected = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    connected.connect(datagrams.getsockname())
    assert serves(connected.fileno()) is False
    assert serves(9999) is None
    assert serves() is None


def test_calls_that_are_about_nothing_that_others_send() -> None:
    assert is_serving(KernelWait("sleep", "nanosleep", ""), Facts(os.getpid())) is None
    assert is_serving(KernelWait("io", "accept4", "", fds=(3,)), Facts(os.getpid())) is True
    assert serves(0, call="flock") is None


LISTENER = "import socket; s = socket.create_server(('127.0.0.1', 0)); print('ready', flush=True); input()"
PLAIN = "print('ready', flush=True); input()"
GIVEN = """import os, socket, subprocess, sys
s = socket.create_server(('127.0.0.1', 0))
os.set_inheritable(s.fileno(), sys.argv[1] == 'given')
if sys.argv[1] == 'forked':
    pid = os.fork()
else:
    pid = subprocess.Popen([sys.executable, '-c', 'input()'], close_fds=False).pid
if pid:
    print(os.getpid(), pid, flush=True)
input()
"""


def awaits(pid: int | None, of: int) -> bool | None:
    return is_serving(KernelWait("process", "wait4", "", pid=pid), Facts(of))


@pytest.mark.parametrize(("code", "is_server"), [(LISTENER, True), (PLAIN, None)])
def test_who_waits_for_a_server_serves(code: str, is_server: bool | None, stack: ExitStack) -> None:
    child = stack.enter_context(
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert child.stdout is not None
    child.stdout.readline()
    assert awaits(child.pid, os.getpid()) is is_server
    assert awaits(None, os.getpid()) is is_server  # any child
    child.communicate("\n")
    assert awaits(child.pid, os.getpid()) is None


@pytest.mark.parametrize(("how", "is_server"), [("given", True), ("forked", None), ("closed", None)])
def test_a_fork_is_no_server_because_its_parent_is(how: str, is_server: bool | None, stack: ExitStack) -> None:
    parent = stack.enter_context(
        subprocess.Popen([sys.executable, "-c", GIVEN, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert parent.stdout is not None
    pid, child = map(int, parent.stdout.readline().split())
    assert awaits(child, pid) is is_server
    parent.communicate("\n" * 2)


BETWEEN = """import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'input()'], pass_fds=[int(sys.argv[1])])
print(child.pid, flush=True)
input()
child.kill()
child.wait()
"""


@pytest.mark.parametrize("is_above", [True, False])
def test_a_pipe_from_further_above(is_above: bool, stack: ExitStack) -> None:
    """As between a pool and its workers, whose parent is multiprocessing's fork server; else from a stranger."""
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    command = [sys.executable, "-c", BETWEEN, str(reader)]
    between = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[reader], text=True)
    )
    if not is_above:
        stranger = [sys.executable, "-c", "print('ready', flush=True); input()"]
        other = stack.enter_context(
            subprocess.Popen(stranger, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[writer], text=True)
        )
        assert other.stdout is not None
        other.stdout.readline()
        stack.callback(other.communicate, "\n")
        os.close(writer)
    else:
        stack.callback(os.close, writer)
    assert between.stdout is not None
    worker = int(between.stdout.readline())
    assert is_serving(KernelWait("io", "read", "", fds=(reader,)), Facts(worker)) is is_above
    between.communicate("\n")
