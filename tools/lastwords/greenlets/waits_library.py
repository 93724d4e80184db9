"""`threading` and `queue` over locks of gevent's: from the lock that a greenlet waits for up to what the program knows.

Each step up is taken only where a frame runs a method of that class, and its `self` has what was found below among its
attributes: a Condition the waiter's lock among `_waiters`, an Event its Condition, a Queue one of its three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from lastwords.capture.memory import ReadError
from lastwords.cpython.frame import Place
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes
from lastwords.cpython.slots import find_slot
from lastwords.cpython.waiting.waiting_functions import Waiting
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.waits_links import read_container
from lastwords.greenlets.waits_model import Wait, WaitKind

FRAMES = 12
ARTICLES = {"event": "an", "rlock": "an"}
MODEL: dict[str, WaitKind] = {
    "condition": "condition",
    "barrier": "condition",
    "future": "condition",
    "event": "event",
    "queue": "queue",
    "thread": "join",
    "rlock": "lock",
    "semaphore": "lock",
}


def find_library_wait(
    interp: Interpreter, fields: Fields, functions: Mapping[int, Waiting], places: Sequence[Place], wait: Wait
) -> Wait | None:
    """The wait for what stands on the lock `wait.object`; None where nothing of the library does."""
    below, top = wait.object or 0, None
    for place in places[:FRAMES]:
        of_library = functions.get(place.code)
        if of_library is None or of_library.kind not in MODEL:
            continue
        try:
            owner = find_slot(interp, place, "self")
            if not owner or not _stands_on(interp, fields, owner, below):
                continue
        except ReadError:
            continue
        below, top = owner, of_library
    if top is None:
        return None
    return replace(
        wait,
        kind=MODEL[top.kind],
        object=below,
        object_kind=top.kind,
        below=wait.object,
        detail=f"{ARTICLES.get(top.kind, 'a')} {top.kind}",
    )


def _stands_on(interp: Interpreter, fields: Fields, owner: int, below: int) -> bool:
    if owner == below:
        return True
    for name, value in find_attributes(interp, owner).items():
        if value == below:
            return True
        if name.endswith("_waiters") and below in read_container(fields, value):
            return True
    return False
