"""What the arguments of a system call point to: times, addresses, sets of descriptors. All raise ReadError."""

from __future__ import annotations

import os
import struct
from ipaddress import IPv4Address

from lastwords.capture.kernel.sockets import format_ipv6
from lastwords.capture.memory import Memory, ReadError

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10  # linux/socket.h
SOCKADDR_LIMIT = 128  # sizeof(struct sockaddr_storage)
POLLED_LIMIT = 4096
SELECTED_LIMIT = 1 << 16
PATH_LIMIT = 4096
PIECE = 256


def to_int(argument: int) -> int:
    """A C `int` out of a register: descriptors, pids, timeouts in ms."""
    return (argument & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000


def to_long(argument: int) -> int:
    """A C `long` out of a register."""
    return (argument & 0xFFFF_FFFF_FFFF_FFFF ^ 1 << 63) - (1 << 63)


def read_timespec(memory: Memory, address: int, units: int = 1_000_000_000) -> float:
    """Seconds of a struct timespec; of a struct timeval with `units` 1,000,000."""
    seconds, rest = struct.unpack("<qq", memory.read(address, 16))
    if not 0 <= rest < units:
        raise ReadError(f"{address:#x} is no time")
    return float(seconds + rest / units)


def read_sockaddr(memory: Memory, address: int, size: int) -> str:
    """ "127.0.0.1:80", "[::1]:80", a path, "@abstract"."""
    if not 2 <= size <= SOCKADDR_LIMIT:
        raise ReadError(f"{size} bytes are no address")
    data = memory.read(address, size)
    family = int.from_bytes(data[:2], "little")
    if family == AF_INET and size >= 8:
        return f"{IPv4Address(data[4:8])}:{int.from_bytes(data[2:4], 'big')}"
    if family == AF_INET6 and size >= 24:
        return format_ipv6(data[8:24], int.from_bytes(data[2:4], "big"))
    if family == AF_UNIX:
        name = data[2:]
        return os.fsdecode(b"@" + name[1:] if name[:1] == b"\0" else name.partition(b"\0")[0])
    return f"an address of family {family}"


def read_polled(memory: Memory, address: int, count: int) -> list[tuple[int, int]]:
    """(descriptor, events) of an array of struct pollfd; negative descriptors, which the kernel skips, left out."""
    if not 0 <= count <= POLLED_LIMIT:
        raise ReadError(f"{count} descriptors are too many")
    data = memory.read(address, count * 8) if count else b""
    return [(fd, events) for fd, events, _ in struct.iter_unpack("<ihh", data) if fd >= 0]


def read_fd_set(memory: Memory, address: int, count: int) -> list[int]:
    """The descriptors below `count` whose bits are set."""
    if not 0 <= count <= SELECTED_LIMIT:
        raise ReadError(f"{count} descriptors are too many")
    if not address or not count:
        return []
    bits = int.from_bytes(memory.read(address, (count + 63) // 64 * 8), "little")
    return [fd for fd in range(count) if bits >> fd & 1]


def read_path(memory: Memory, address: int) -> str:
    """A file's name, ended by a null byte; read in pieces, because it may lie at the end of a mapping."""
    found = b""
    while len(found) < PATH_LIMIT:
        size = PIECE - (address + len(found)) % PIECE
        found += memory.read(address + len(found), size)
        if b"\0" in found:
            return os.fsdecode(found.partition(b"\0")[0])
    raise ReadError(f"the name at {address:#x} does not end")


def read_signals(memory: Memory, address: int) -> int:
    """A sigset_t: bit 0 for signal 1."""
    return int.from_bytes(memory.read(address, 8), "little")
