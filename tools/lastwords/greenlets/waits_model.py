"""What a greenlet waits for, as it was read."""

from __future__ import annotations

from typing import Literal

import msgspec

from lastwords.model import Certainty

WaitKind = Literal["lock", "join", "event", "queue", "condition", "io", "process", "sleep", "hub", "unknown"]


class Wait(msgspec.Struct, frozen=True):
    """What one greenlet waits for; `kind` is that of model.WaitsFor.

    object: the address of the event, lock, queue ..., of which `object_kind` tells the kind
    below: the lock of gevent's that it stands on, where `object` is one of `threading`
    greenlet: the one whose end is waited for; any_of: those of several, where one may be enough
    until: seconds of the epoch; has_timeout: whether it ends by itself
    fd, events: of an io watcher (1 read, 2 write); pid: of a child, as the process calls it
    is_ready: whether it goes on as soon as the hub has its turn
    """

    kind: WaitKind
    object: int | None = None
    object_kind: str = ""
    below: int | None = None
    greenlet: int | None = None
    any_of: tuple[int, ...] = ()
    detail: str | None = None
    certainty: Certainty = "certain"
    until: float | None = None
    has_timeout: bool = False
    fd: int | None = None
    events: int = 0
    pid: int | None = None
    is_ready: bool = False
