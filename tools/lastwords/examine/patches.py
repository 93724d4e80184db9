"""What gevent has patched, and what other modules still have of it: without a record of when, or by whom.

`gevent.monkey.saved` (from 24.10 on in `gevent.monkey._state`) keeps, for each module, what was there before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

from lastwords.capture.memory import ReadError
from lastwords.cpython import Interpreter
from lastwords.cpython.dicts import read_named
from lastwords.cpython.modules import find_global, module_globals, read_module
from lastwords.cpython.structs import DICT, TYPE
from lastwords.cpython.types import type_of
from lastwords.model import Kept, Process

PLACES = ("gevent.monkey", "gevent.monkey._state")
OWN = ("gevent", "greenlet", "thread", "Queue", "SocketServer")  # gevent's, and those of 2.7's library
SETTINGS = "_gevent_saved"  # how it was patched, kept in the same dict
CALLABLES = ("builtin_function_or_method", "function")
MODULES_LIMIT = 500
NAMES_LIMIT = 5000  # of one module
KEPT_LIMIT = 200


def add_patches(process: Process, interp: Interpreter) -> None:
    """Nothing is added for a program without gevent's patches. Raises ReadError."""
    if PLACES[0] not in process.modules:
        return
    found = (find_global(interp, place, "saved") for place in PLACES)
    saved = next((one for one in found if one and interp.type_flags(one) & DICT), None)
    if saved is None:
        return
    originals: dict[int, str] = {}
    process.patched = []
    for module, before in read_named(interp, saved):
        if module.startswith(SETTINGS):
            continue
        process.patched.append(module)
        for name, value in read_named(interp, before) if interp.type_flags(before) & DICT else ():
            if interp.type_flags(value) & TYPE or type_of(interp, value).name in CALLABLES:
                originals[value] = f"{module}.{name}"
    process.kept = list(islice(_find_kept(interp, process.modules, originals), KEPT_LIMIT))


def _find_kept(interp: Interpreter, modules: list[str], originals: dict[int, str]) -> Iterator[Kept]:
    """The globals of the program's modules, and of what it has installed, that are such an original."""
    own = [(at, name) for at, name in enumerate(modules) if not _is_library(name)]
    for order, name in own[:MODULES_LIMIT]:
        try:
            module = read_module(interp, name)
            variables = module_globals(interp, module) if module else None
            for known, value in islice(read_named(interp, variables), NAMES_LIMIT) if variables else ():
                if value in originals:
                    yield Kept(module=name, name=known, original=originals[value], order=order)
        except ReadError:  # one that cannot be read takes no other with it
            continue


def _is_library(name: str) -> bool:
    top = name.partition(".")[0]
    return top in OWN or (top in sys.stdlib_module_names and top != "__main__")
