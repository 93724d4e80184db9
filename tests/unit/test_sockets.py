"""The kernel's tables of sockets, recorded and our own."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from lastwords.capture.kernel.facts import read_facts
from lastwords.capture.kernel.sockets import Socket, Sockets, ask_unix_peer, parse_address, parse_peer

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:1F40 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1
   2: 0100007F:1F40 0100007F:D432 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   3: 0100007F:D432 0100007F:1F40 01 00000000:00000000 00:00000000 00000000     0        0 14 1 0 20 4 30 10 -1
   4: 0100007F:D433 0100007F:1F41 02 00000000:00000000 00:00000000 00000000     0        0 15 1 0 20 4 30 10 -1
   5: 020200C0:A33A 507100CB:0050 08 00000000:00000000 03:00000CE5 00000000     0        0 16 3 0
   6: 020200C0:A33B 507100CB:0050 01 00000000:00000000 03:00000CE5 00000000     0        0 17 3 0
   7: 0100007F:D434 0100
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000001000000:1F42 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 21 1 0
   1: 0000000000000000FFFF00000100007F:D431 0000000000000000FFFF00000100007F:1F40 01 0:0 00:0 0 0 0 13 1 0
"""
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  123: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 31 2 0 0
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
000000002282dcd0: 00000003 00000000 00010000 0001 01    41 /run/a b.sock
00000000c047f0ab: 00000003 00000000 00000000 0001 03    42 @abstract
00000000c047f0ac: 00000003 00000000 00000000 0001 03    43
"""


@pytest.fixture
def sockets(tmp_path: Path) -> Sockets:
    net = tmp_path / "70/net"
    net.mkdir(parents=True)
    for name, text in (("tcp", TCP), ("tcp6", TCP6), ("udp", UDP), ("unix", UNIX)):
        (net / name).write_text(text)
    return Sockets(70, tmp_path)


@pytest.mark.parametrize(
    ("inode", "expected"),
    [
        (11, Socket("TCP", 11, "0.0.0.0:8000", None, "listening")),
        (12, Socket("TCP", 12, "127.0.0.1:8000", "127.0.0.1:54321", "established")),
        (13, Socket("TCP", 13, "127.0.0.1:54321", "127.0.0.1:8000", "established")),
        (16, Socket("TCP", 16, "192.0.2.2:41786", "203.0.113.80:80", "close-wait")),
        (21, Socket("TCP", 21, "[::1]:8002", None, "listening")),
        (31, Socket("UDP", 31, "0.0.0.0:53", None, "unconnected")),
        (41, Socket("unix", 41, "/run/a b.sock", None, "listening")),
        (42, Socket("unix", 42, "@abstract", None, "connected")),
        (43, Socket("unix", 43, None, None, "connected")),
        (0, None),
        (99, None),
    ],
)
def test_a_recorded_table(sockets: Sockets, inode: int, expected: Socket | None) -> None:
    assert sockets.find(inode) == expected


def test_the_other_end(sockets: Sockets) -> None:
    one, waiting, trying, far = (sockets.find(inode) for inode in (12, 14, 15, 16))
    assert one and waiting and trying and far
    assert sockets.find_other_end(one) == sockets.find(13), "IPv4 in IPv6 is the same"
    other = sockets.find_other_end(waiting)
    assert other is not None
    assert other.inode == 0, "not accepted yet"
    assert sockets.find_listener(waiting) == sockets.find(11)
    assert sockets.find_other_end(trying) is None
    assert sockets.find_listener(trying) is None
    assert sockets.find_other_end(far) is None


@pytest.mark.parametrize(
    ("inode", "text"),
    [
        (11, "TCP, listening on 0.0.0.0:8000"),
        (12, "TCP 127.0.0.1:8000 to 127.0.0.1:54321; nobody has the other end open"),
        (14, "TCP 127.0.0.1:54322 to 127.0.0.1:8000; not accepted yet; nobody has the listening socket open"),
        (15, "TCP 127.0.0.1:54323 to 127.0.0.1:8001, syn-sent; who listens there is elsewhere, or nobody"),
        (16, "TCP 192.0.2.2:41786 to 203.0.113.80:80, close-wait; the other end was closed"),
        (17, "TCP 192.0.2.2:41787 to 203.0.113.80:80; the other end is elsewhere"),
        (31, "UDP, 0.0.0.0:53"),
        (41, "a unix socket /run/a b.sock that listens"),
        (43, "a unix socket"),
    ],
)
@pytest.mark.usefixtures("sockets")
def test_in_words(tmp_path: Path, inode: int, text: str) -> None:
    (tmp_path / "70/fd").mkdir()
    (tmp_path / "70/fd/3").symlink_to(f"socket:[{inode}]")
    assert read_facts(70, tmp_path).describe(3) == f"fd 3, {text}"


def test_addresses() -> None:
    assert parse_address("0100007F:0050") == "127.0.0.1:80"
    assert parse_address("B80D01200000000000000000010000A0:0050") == "[2001:db8::a000:1]:80"
    for text in ("", "xx:yy", "0100007F"):
        with pytest.raises(ValueError):
            parse_address(text)


def test_no_tables(tmp_path: Path) -> None:
    assert Sockets(70, tmp_path).find(1) is None


def test_unix_peers_of_our_own() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inodes = [os.fstat(one.fileno()).st_ino for one in (ours, theirs)]
        peer = ask_unix_peer(inodes[0])
        if peer is None:
            pytest.skip("this kernel has no unix_diag")
        assert peer == inodes[1]
        assert ask_unix_peer(inodes[1]) == inodes[0]
        text = f"a unix socket; the other end: this process itself (fd {theirs.fileno()})"
        assert read_facts(os.getpid()).describe(ours.fileno()) == f"fd {ours.fileno()}, {text}"


def test_a_unix_connection_that_nobody_accepts(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen(1)
        client.connect(str(tmp_path / "s"))
        text = read_facts(os.getpid()).describe(client.fileno())
        assert text == f"fd {client.fileno()}, a unix socket; not accepted yet"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\0" * 16,
        struct.pack("=IHHII", 36, 2, 0, 1, 0) + bytes(20),
        struct.pack("=IHHII", 1 << 31, 20, 0, 1, 0) + bytes(16) + struct.pack("=HH", 8, 2),
        struct.pack("=IHHII", 40, 20, 0, 1, 0) + bytes(16) + bytes(8),
        struct.pack("=IHHII", 40, 20, 0, 1, 0) + bytes(16) + struct.pack("=HHI", 6, 2, 7),
    ],
)
def test_answers_that_say_nothing(reply: bytes) -> None:
    assert parse_peer(reply) is None
