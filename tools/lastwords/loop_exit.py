"""gevent's LoopExit, which it raises in the main greenlet when its loop has nothing left to wait for."""

from __future__ import annotations

from lastwords.model import Caught

TYPES = ("gevent.exceptions.LoopExit", "gevent.hub.LoopExit")


def is_loop_exit(caught: Caught) -> bool:
    """Whether it is one: then the greenlets that still wait tell why."""
    return caught.exception is not None and caught.exception.type in TYPES
