"""All greenlets of one moment: those that a search has found, read again, and those that they lead to."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lastwords.capture.memory import ReadError
from lastwords.greenlets.ahead import fetch_ahead
from lastwords.greenlets.greenlet import GreenletState, read_greenlet
from lastwords.greenlets.module import Module

GREENLETS_LIMIT = 1_000_000


class Census(msgspec.Struct):
    """Greenlets by their addresses. gone: how many of those that were found are none any more."""

    known: dict[int, GreenletState] = {}
    gone: int = 0


def read_all(module: Module, addresses: Iterable[int], roots: Iterable[int] = ()) -> Census:
    """The greenlets at these addresses, and their parents and main greenlets; `roots` are tried, too."""
    census = Census()
    addresses = list(addresses)
    fetch_ahead(module, addresses)
    for address in addresses:
        if len(census.known) < GREENLETS_LIMIT and not _add(module, census, address):
            census.gone += 1
    waiting = [*roots, *(one for found in census.known.values() for one in (found.parent, found.main))]
    while waiting and len(census.known) < GREENLETS_LIMIT:
        address = waiting.pop()
        if address and address not in census.known and _add(module, census, address):
            found = census.known[address]
            waiting += [found.parent, found.main]
    return census


def _add(module: Module, census: Census, address: int) -> bool:
    try:
        census.known[address] = read_greenlet(module, address)
    except ReadError:
        return False
    return True
