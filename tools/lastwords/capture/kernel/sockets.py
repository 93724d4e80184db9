"""Sockets as the kernel shows them: /proc/PID/net/{tcp,tcp6,udp,udp6,unix} of the target's network namespace.

Who is at the other end of a connected pair of unix sockets only netlink tells: sock_diag(7), UNIX_DIAG_PEER.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import msgspec

from lastwords.capture.procfs import PROC

TABLE_LIMIT = 16 << 20  # bytes of one table: a hundred thousand sockets
STATES = (
    "",
    "established",
    "syn-sent",
    "syn-received",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "closed",
    "close-wait",
    "last-ack",
    "listening",
    "closing",
)  # fmt: skip - include/net/tcp_states.h; UDP uses 1 and 7
UNCONNECTED, CONNECTED = "01", "03"  # enum socket_state of include/uapi/linux/net.h
ACCEPTS = 1 << 16  # __SO_ACCEPTCON

NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 4, 20, 1
UDIAG_SHOW_PEER, UNIX_DIAG_PEER = 4, 2
_MESSAGE = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, pid
_REQUEST = struct.Struct("=BBHIIIQ")  # unix_diag_req: family, protocol, pad, states, inode, show, cookie
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_REPLY_SIZE = 16  # unix_diag_msg
NETLINK_SECONDS = 1.0
ANY_COOKIE = (1 << 64) - 1


class Socket(msgspec.Struct, frozen=True):
    """One socket. Addresses as "127.0.0.1:80", "[::1]:80", a path, "@abstract"; None where it has none.

    protocol: "TCP", "UDP" or "unix"; state: as `ss` says it ("listening", "established" ...)
    inode: 0 for one that no process has (any more, or before it is accepted)
    """

    protocol: str
    inode: int
    local: str | None = None
    remote: str | None = None
    state: str | None = None


class Sockets:
    """All sockets of the network namespace of one process; read when the first is asked for, then remembered."""

    def __init__(self, pid: int, proc: Path = PROC) -> None:
        self._net = proc / str(pid) / "net"
        self._proc = proc
        self._pid = pid

    def find(self, inode: int) -> Socket | None:
        """The socket with this inode; None for other kinds (netlink, packet ...), or where the tables are closed."""
        return self._by_inode.get(inode)

    def find_other_end(self, one: Socket) -> Socket | None:
        """The socket at the other end, where that is in the same namespace and known.

        Its inode is 0 for a connection that waits to be accepted: `find_listener` is who should.
        """
        if one.protocol == "unix":
            inode = self._find_unix_peer(one)
            return None if inode is None else self.find(inode) or Socket("unix", inode)
        return self._by_addresses.get((one.protocol, one.remote, one.local)) if one.remote else None

    def find_listener(self, one: Socket) -> Socket | None:
        """Who listens at the address that this TCP socket is connected to."""
        return self._find_listening(one.remote)

    def find_acceptor(self, one: Socket) -> Socket | None:
        """The listening socket at this connection's own address: the connection came in there."""
        if one.protocol == "unix":
            return next((other for other in self._all if _listens(other, "unix") and other.local == one.local), None)
        return self._find_listening(one.local)

    def _find_listening(self, address: str | None) -> Socket | None:
        port = (address or "").rpartition(":")[2]
        listening = [other for other in self._all if _listens(other, "TCP")]
        exact = [other for other in listening if other.local == address]
        every = [other for other in listening if other.local in (f"0.0.0.0:{port}", f"[::]:{port}")]
        return next(iter([*exact, *every]), None)

    def _find_unix_peer(self, one: Socket) -> int | None:
        """By netlink, which answers for our own network namespace only."""
        if one.state != "connected" or self._proc != PROC or self.is_closed:
            return None
        return ask_unix_peer(one.inode)

    @cached_property
    def is_closed(self) -> bool:
        """Whether it is another network namespace than ours."""
        try:
            ours = (self._proc / "self/ns/net").readlink()
            return ours != (self._proc / str(self._pid) / "ns/net").readlink()
        except OSError:
            return self._proc == PROC

    @cached_property
    def _all(self) -> list[Socket]:
        tables = {"tcp": "TCP", "tcp6": "TCP", "udp": "UDP", "udp6": "UDP"}
        found = [one for name, protocol in tables.items() for one in _read_table(self._net / name, protocol)]
        return [*found, *_read_unix(self._net / "unix")]

    @cached_property
    def _by_inode(self) -> dict[int, Socket]:
        return {one.inode: one for one in self._all if one.inode}

    @cached_property
    def _by_addresses(self) -> dict[tuple[str, str | None, str | None], Socket]:
        return {(one.protocol, one.local, one.remote): one for one in self._all if one.state != "time-wait"}


def _listens(one: Socket, protocol: str) -> bool:
    return one.protocol == protocol and one.state == "listening" and one.local is not None


def _lines(path: Path) -> Iterator[list[str]]:
    """The words of each line but the first; nothing where the table is not there or may not be read."""
    try:
        with path.open("rb") as file:
            text = file.read(TABLE_LIMIT).decode("utf-8", "surrogateescape")
    except OSError:
        return
    for line in text.split("\n")[1:]:
        yield line.split()


def _read_table(path: Path, protocol: str) -> Iterator[Socket]:
    for words in _lines(path):
        try:
            local, remote, state, inode = words[1], words[2], int(words[3], 16), int(words[9])
            yield Socket(
                protocol=protocol,
                inode=inode,
                local=parse_address(local),
                remote=None if remote.endswith(":0000") else parse_address(remote),
                state="unconnected" if protocol == "UDP" and state == 7 else STATES[state],
            )
        except (IndexError, ValueError):  # another kernel's line, or the last, cut one
            continue


def parse_address(text: str) -> str:
    """ "0100007F:0050" of the kernel as "127.0.0.1:80". Raises ValueError."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    if len(words) == 1:
        return f"{IPv4Address(words[0])}:{int(port, 16)}"
    return format_ipv6(b"".join(words), int(port, 16))


def format_ipv6(address: bytes, port: int) -> str:
    """An address of IPv6, or the IPv4 one that it stands for."""
    found = IPv6Address(address)
    return f"{found.ipv4_mapped}:{port}" if found.ipv4_mapped else f"[{found}]:{port}"


def _read_unix(path: Path) -> Iterator[Socket]:
    """Num RefCount Protocol Flags Type St Inode Path, as net/unix/af_unix.c prints them."""
    for words in _lines(path):
        try:
            flags, state, inode = int(words[3], 16), words[5], int(words[6])
        except (IndexError, ValueError):
            continue
        said = {UNCONNECTED: "unconnected", CONNECTED: "connected"}.get(state)
        yield Socket("unix", inode, local=" ".join(words[7:]) or None, state="listening" if flags & ACCEPTS else said)


def ask_unix_peer(inode: int) -> int | None:
    """The inode of the unix socket that is connected to this one; 0: not accepted yet; None: the kernel did not say."""
    import socket  # noqa: PLC0415 (start-up time)

    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFF_FFFF, inode & 0xFFFF_FFFF, UDIAG_SHOW_PEER, ANY_COOKIE)
    header = _MESSAGE.pack(_MESSAGE.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(NETLINK_SECONDS)
            netlink.send(header + request)
            return parse_peer(netlink.recv(1 << 16))
    except OSError:  # a kernel without unix_diag, a seccomp filter
        return None


def parse_peer(reply: bytes) -> int | None:
    """The attribute UNIX_DIAG_PEER of the kernel's answer."""
    if len(reply) < _MESSAGE.size or _MESSAGE.unpack_from(reply)[1] != SOCK_DIAG_BY_FAMILY:
        return None
    at, end = _MESSAGE.size + _REPLY_SIZE, min(_MESSAGE.unpack_from(reply)[0], len(reply))
    while at + _ATTRIBUTE.size <= end:
        size, kind = _ATTRIBUTE.unpack_from(reply, at)
        if kind == UNIX_DIAG_PEER and size == _ATTRIBUTE.size + 4 and at + size <= end:
            return int.from_bytes(reply[at + _ATTRIBUTE.size : at + size], "little")
        at += max(size + 3 & -4, _ATTRIBUTE.size)
    return None
