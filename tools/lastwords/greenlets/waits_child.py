"""`Popen.wait`: an AsyncResult of the object whose method is to be called at the end of a child.

gevent's loop in C does not tell which children it watches, but `gevent.os` keeps those watchers, by pid; gevent 1.0 the
Popen itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from lastwords.capture.memory import ReadError
from lastwords.cpython.dicts import read_items
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.with_blocks import read_bound
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.locks import find_attributes
from lastwords.cpython.modules import find_global
from lastwords.cpython.slots import find_slot
from lastwords.cpython.structs import DICT
from lastwords.greenlets.cython_fields import Fields
from lastwords.greenlets.loop_model import Watcher
from lastwords.greenlets.waits_model import Wait
from lastwords.greenlets.waits_watchers import read_watcher

FRAMES = 4
WATCHED = ("gevent.os", "_watched_children")
WATCHED_LIMIT = 10_000


def find_child_wait(
    interp: Interpreter, fields: Fields, classes: dict[int, str], places: Sequence[Place], wait: Wait
) -> Wait | None:
    """The wait for the child whose end will set the result `wait.object`; None where there is none."""
    for place in places[:FRAMES]:
        try:
            owner = find_slot(interp, place, "self")
            own = set(find_attributes(interp, owner).values()) if owner else set()
            if owner and wait.object in own:
                for one in _find_children(interp, fields, classes, own):
                    if one.is_active and one.number and owner in _find_called(interp, one):
                        said = f"waits for the end of process {one.number}"
                        return replace(wait, kind="process", object=None, pid=one.number, detail=said)
        except ReadError:
            continue
    return None


def _find_children(interp: Interpreter, fields: Fields, classes: dict[int, str], own: set[int]) -> Iterator[Watcher]:
    """The watchers of children that are among these objects, or that gevent keeps."""
    watched = find_global(interp, *WATCHED)
    is_dict = watched and interp.type_flags(watched) & DICT
    kept = [value for _, value in read_items(interp, watched, WATCHED_LIMIT)] if watched and is_dict else []
    for address in [*own, *kept]:
        if address and classes.get(interp.number(address, "PyObject", "ob_type")) == "child":
            yield read_watcher(fields, address, "child")


def _find_called(interp: Interpreter, watcher: Watcher) -> set[int]:
    """What it calls a method of, itself or by a function that is told the method."""
    return {watcher.callback, *(read_bound(interp, one) for one in watcher.arguments)}
