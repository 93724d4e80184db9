"""System calls that wait for descriptors: reading, writing, accepting, polling, locking."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from lastwords.capture.kernel.descriptors import format_events
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.kernel.kernel_wait import Call, KernelWait
from lastwords.capture.kernel.syscall_arguments import (
    read_fd_set,
    read_path,
    read_polled,
    read_sockaddr,
    read_timespec,
    to_long,
)

F_SETLKW, F_OFD_SETLKW = 7, 38
LOCK_KINDS = {F_SETLKW: "POSIX", F_OFD_SETLKW: "OFDLCK"}
SHOWN = 4  # descriptors of many that are described
FOLLOWED = 64  # whose other ends are looked for


def on_descriptor(verb: str) -> Callable[[Call], KernelWait]:
    """For a call whose first argument is the descriptor that it waits for."""

    def describe(call: Call) -> KernelWait:
        return call.io(call.number(0), f"{verb} {call.describe(call.number(0))}")

    return describe


def describe_accept(call: Call) -> KernelWait:
    """accept(fd): for somebody to connect."""
    fd = call.number(0)
    found = call.facts.descriptor(fd) if call.facts is not None else None
    socket = found.socket if found is not None else None
    if socket is None or not socket.local:
        return call.io(fd, f"accepts on {call.describe(fd)}")
    return call.io(fd, f"accepts on {socket.local} ({socket.protocol}), fd {fd}")


def describe_connect(call: Call) -> KernelWait:
    """connect(fd, address, size): for an answer, or a place in the queue of who listens."""
    fd = call.number(0)
    address = read_sockaddr(call.memory, call.arguments[1], call.number(2))
    return call.io(fd, f"connects fd {fd} to {address}")


def describe_sendto(call: Call) -> KernelWait:
    """sendto(fd, data, size, flags, address, its size), which is also send()."""
    fd, to = call.number(0), ""
    if call.arguments[4]:
        to = f", to {read_sockaddr(call.memory, call.arguments[4], call.number(5))}"
    return call.io(fd, f"sends to {call.describe(fd)}{to}")


def describe_copy(call: Call) -> KernelWait:
    """`sendfile(out, in)`, `splice(in, offset, out)`: which of both it waits for is not known."""
    source, target = (1, 0) if call.name == "sendfile" else (0, 2)
    detail = f"copies from {call.describe(call.number(source))}, to {call.describe(call.number(target))}"
    return KernelWait("io", call.name, detail, fds=(call.number(source), call.number(target)))


def describe_open(call: Call) -> KernelWait:
    """Opening a FIFO waits for who opens its other end; any file, for its file system."""
    path = read_path(call.memory, call.arguments[0 if call.name == "open" else 1])
    return KernelWait("io", call.name, f"opens {path}")


def describe_lock(call: Call) -> KernelWait:
    """flock(fd, operation); fcntl(fd, F_SETLKW or F_OFD_SETLKW, ...): for who holds the lock."""
    fd = call.number(0)
    if call.name == "fcntl" and call.number(1) not in LOCK_KINDS:
        return call.io(fd, f"fcntl on {call.describe(fd)}")
    kind = "FLOCK" if call.name == "flock" else LOCK_KINDS[call.number(1)]
    detail = f"waits for a lock ({call.name}) on {call.describe(fd)}"
    if call.facts is None:
        return KernelWait("io", call.name, detail, fd=fd)
    takers = sorted({one.pid for one in call.facts.lock_blockers(fd, kind) if one.pid > 0})
    pids = [pid for pid in takers if call.facts.is_there(pid)]
    held = f"held by {', '.join(map(call.facts.describe_process, pids))}" if pids else ""
    told = held or _tell_sharers(call.facts, fd, takers)
    pid = pids[0] if len(pids) == 1 else None
    return KernelWait("io", call.name, f"{detail}; {told}", fd=fd, peer=told, pid=pid)


def _tell_sharers(facts: Facts, fd: int, takers: list[int]) -> str:
    """Of a lock whose taker has ended, and which a child has inherited, or which belongs to an open file (OFD)."""
    taken = ", ".join(f"taken by process {pid}, which has ended" for pid in takers)
    several = facts.sharers(fd)
    names = ", ".join(map(facts.describe_process, several[:SHOWN]))
    more = f" and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
    where = f"the file is open in {names or 'no other process that we see'}{more}"
    return f"{taken or 'the kernel does not say who holds it'}; {where}"


def describe_poll(call: Call) -> KernelWait:
    """poll(array, count, milliseconds); ppoll(array, count, timespec, ...)."""
    polled = read_polled(call.memory, call.arguments[0], to_long(call.arguments[1]))
    if call.name == "ppoll":
        timeout = read_timespec(call.memory, call.arguments[2]) if call.arguments[2] else None
    else:
        timeout = call.number(2) / 1000 if call.number(2) >= 0 else None
    return _tell_watched(call, polled, timeout)


def describe_select(call: Call) -> KernelWait:
    """select(count, to read, to write, exceptions, timeval); pselect6 with a timespec."""
    events: dict[int, int] = {}
    for index, bit in ((1, 1), (2, 4), (3, 2)):
        for fd in read_fd_set(call.memory, call.arguments[index], call.number(0)):
            events[fd] = events.get(fd, 0) | bit
    units = 1_000_000 if call.name == "select" else 1_000_000_000
    timeout = read_timespec(call.memory, call.arguments[4], units) if call.arguments[4] else None
    return _tell_watched(call, sorted(events.items()), timeout)


def _tell_watched(call: Call, watched: Iterable[tuple[int, int]], timeout: float | None) -> KernelWait:
    """A wait for the first of several descriptors; for none of them it is a sleep."""
    several = list(watched)
    limit = "" if timeout is None else f", for {timeout:g} s at most"
    if not several:
        text = "waits for ever, for no descriptor" if timeout is None else f"sleeps for {timeout:g} s"
        return KernelWait("sleep", call.name, f"{text} ({call.name})", has_timeout=timeout is not None)
    text = "; ".join(f"to {format_events(events)}: {call.describe(fd)}" for fd, events in several[:SHOWN])
    more = f"; and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
    detail = f"{call.name}{limit}, {text}{more}"
    fds = tuple(fd for fd, _ in several)
    if len(fds) == 1:
        return replace(call.io(fds[0], detail), has_timeout=timeout is not None)
    pid = call.sole_peer(fds) if len(fds) <= SHOWN else None
    pids = call.peers(fds) if len(fds) <= FOLLOWED else None
    return KernelWait("io", call.name, detail, pid=pid, fds=fds, has_timeout=timeout is not None, pids=pids)


def describe_epoll(call: Call) -> KernelWait:
    """epoll_wait(fd, events, count, milliseconds); epoll_pwait2 with a timespec."""
    fd = call.number(0)
    if call.name == "epoll_pwait2":
        timeout = read_timespec(call.memory, call.arguments[3]) if call.arguments[3] else None
    else:
        timeout = call.number(3) / 1000 if call.number(3) >= 0 else None
    found = call.facts.descriptor(fd) if call.facts is not None else None
    limit = "" if timeout is None else f", for {timeout:g} s at most"
    if found is None:
        return KernelWait("io", call.name, f"{call.name} on fd {fd}{limit}", fd=fd, has_timeout=timeout is not None)
    shown = [
        f"to {format_events(one.events)}: fd {one.fd}, closed since" if one.is_stale
        else f"to {format_events(one.events)}: {call.describe(one.fd)}"
        for one in found.watched[:SHOWN]
    ]  # fmt: skip
    more = f"; and {len(found.watched) - SHOWN} more" if len(found.watched) > SHOWN else ""
    text = "; ".join(shown) or "no descriptor at all"
    fds = tuple(one.fd for one in found.watched if not one.is_stale)
    detail = f"{call.name} on fd {fd}{limit}, which watches {text}{more}"
    pid = call.sole_peer(fds) if 0 < len(fds) == len(found.watched) <= SHOWN else None
    pids = call.peers(fds) if 0 < len(fds) == len(found.watched) <= FOLLOWED else None
    return KernelWait("io", call.name, detail, fd=fd, pid=pid, fds=fds, has_timeout=timeout is not None, pids=pids)
