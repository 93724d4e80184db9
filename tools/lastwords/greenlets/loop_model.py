"""A hub's loop and its watchers, as they were read: of libev or libuv, by Cython or by CFFI."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Watcher(msgspec.Struct, frozen=True):
    """A watcher of gevent's.

    watcher: the address of the struct of libev or libuv, 0 where that was not found
    is_active: whether the loop watches for it; is_pending: whether it has come
    callback: what the callback is bound to; arguments: what it is called with
    fd, events: of an io watcher; at: of a timer, by the monotonic clock; number: a child's pid, a signal
    """

    address: int
    kind: str
    watcher: int
    is_active: bool
    is_pending: bool
    callback: int = 0
    arguments: tuple[int, ...] = ()
    fd: int | None = None
    events: int = 0
    at: float | None = None
    repeat: float = 0.0
    number: int | None = None

    def leads_to(self, address: int) -> bool:
        """Whether what it calls is bound to, or told, this object."""
        return self.callback == address or address in self.arguments


def find_leading(watchers: Sequence[Watcher], address: int) -> Watcher | None:
    """The first active one that calls this object, or hands it over.

    libuv's watchers of children and signals each have an async one that calls the same: that tells least, and is last.
    """
    found = [one for one in watchers if (one.is_active or one.is_pending) and one.leads_to(address)]
    return min(found, key=lambda one: one.kind == "async", default=None)


class Callback(msgspec.Struct, frozen=True):
    """What `run_callback` was given: the object that its function is bound to, 0 for none, and its arguments."""

    address: int
    bound: int
    arguments: tuple[int, ...]


class LoopState(msgspec.Struct):
    """A loop as it stood.

    now: when it last looked at the monotonic clock, by which its timers go; epoch: what is to be added to have seconds
        of the epoch; None where these could not be read
    active: how many watchers and callbacks keep it going
    further: watchers of signals; of children and other threads where they can be told (CFFI)
    problems: what could not be read, so that some may be missing
    """

    address: int
    epoch: float | None
    now: float | None
    active: int
    timers: list[Watcher] = []
    descriptors: list[Watcher] = []
    further: list[Watcher] = []
    callbacks: list[Callback] = []
    problems: list[str] = []

    @property
    def others(self) -> int:
        """How many of those that are active are neither timers nor of descriptors, nor callbacks."""
        return max(self.active - len(self.timers) - len(self.descriptors) - len(self.callbacks), 0)

    @property
    def watchers(self) -> list[Watcher]:
        """All that were told."""
        return self.timers + self.descriptors + self.further

    def date(self, at: float | None) -> float | None:
        """A time of the loop's clock in seconds of the epoch; None where that is not known."""
        return at + self.epoch if at is not None and self.epoch is not None else None
