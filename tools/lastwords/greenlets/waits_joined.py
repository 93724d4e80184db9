"""`gevent.wait`, `joinall`: a greenlet that waits for several objects; they all have the `switch` of its one Waiter."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from lastwords.capture.memory import ReadError
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.waits_links import read_container, read_linked, read_own_words
from lastwords.greenlets.waits_model import Wait, WaitKind
from lastwords.greenlets.waits_objects import Candidates

NAMES = {"greenlet": "greenlets", "event": "events", "result": "results", "semaphore": "semaphores", "lock": "locks"}
OBJECTS_LIMIT = 100_000
COUNT_BEHIND = 5  # words from the Waiter to `_count` in _WaitIterator: switch, timeout, objects, timer, count


def find_joined(
    fields: Fields, classes: dict[int, str], candidates: Candidates, waiter: int, linked: Sequence[int]
) -> Wait | None:
    """What `waiter` still waits for; None where nothing has its `switch`.

    It is one object's wait where there is one left, or where all are needed: then the first alone keeps it waiting.
    """
    iterator = next((one for one, kind in candidates.items() if kind == "iterator"), None)
    objects, wanted = _read_iterator(fields, iterator, waiter) if iterator else ([], None)
    pending = [one for one in dict.fromkeys([*objects, *linked]) if _is_linked(fields, one, waiter)]
    if not pending:
        return None
    kinds = {_kind(fields, classes, one) for one in pending}
    kind = next(iter(kinds)) if len(kinds) == 1 else ""
    model: WaitKind = "join" if kinds == {"greenlet"} else "event"
    detail = f"{len(pending)} {NAMES.get(kind, 'objects')}" if len(pending) > 1 else f"one of gevent's {kind}s"
    any_of = tuple(pending) if model == "join" else ()
    if len(pending) > 1 and wanted is not None and wanted != len(pending):
        return Wait(kind=model, any_of=any_of, detail=f"the first of {detail}")
    if wanted is None:  # gevent 1.0 to 1.2: which others there are, and how many are wanted, is not told
        return Wait(kind=model, any_of=any_of, detail=f"{detail}, and perhaps others", certainty="likely")
    first = pending[0]
    if kind == "greenlet":
        detail = "the end of a greenlet" if len(pending) == 1 else f"the end of {detail}"
        return Wait(kind="join", greenlet=first, object_kind=kind, detail=detail)
    return Wait(kind=model, object=first, object_kind=kind or "event", detail=detail)


def _read_iterator(fields: Fields, iterator: int, waiter: int) -> tuple[list[int], int | None]:
    """(its objects, for how many of them it still waits); none of an iterator of another Waiter."""
    try:
        words = read_own_words(fields, iterator)
        if waiter not in words:
            return [], None
        at = words.index(waiter)
        objects: list[int] = []
        for word in words[at + 1 : at + COUNT_BEHIND]:
            with suppress(ReadError):
                objects += read_container(fields, word) if word else []
        count = words[at + COUNT_BEHIND] if at + COUNT_BEHIND < len(words) else None
    except ReadError:
        return [], None
    return objects[:OBJECTS_LIMIT], count + 1 if count is not None and count < OBJECTS_LIMIT else None


def _is_linked(fields: Fields, address: int, waiter: int) -> bool:
    try:
        return waiter in read_linked(fields, address)
    except ReadError:
        return False


def _kind(fields: Fields, classes: dict[int, str], address: int) -> str:
    try:
        return classes.get(fields.interp.number(address, "PyObject", "ob_type"), "")
    except ReadError:
        return ""
