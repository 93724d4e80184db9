"""Who waits for an object of gevent's: what is stale among its words takes nobody with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lastwords.capture.memory import ReadError
from lastwords.greenlets import waits_links
from lastwords.greenlets.waits_links import read_linked

OBJECT, LINKS, STALE, FREED = 0x1000, 0x2000, 0x3000, 0x4000
SWITCH, GREENLET, NO_OBJECT = 0x5000, 0x6000, 0x16E


@pytest.fixture
def fields(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """One object whose words lead to two lists that were freed, and to its own: none of these has a name."""

    def read_items(_: object, address: int) -> list[int]:
        if address == FREED:
            raise ReadError("its items are gone")
        return {LINKS: [SWITCH], STALE: [NO_OBJECT]}[address]

    def read_bound(_: object, method: int) -> int:
        if method == NO_OBJECT:
            raise ReadError("no object")
        return GREENLET

    kind = SimpleNamespace(is_static=lambda name: name == "list")
    monkeypatch.setattr(waits_links, "read_own_words", lambda fields, address: [FREED, STALE, LINKS])
    monkeypatch.setattr(waits_links, "type_of", lambda interp, address: kind)
    monkeypatch.setattr(waits_links, "read_container", read_items)
    monkeypatch.setattr(waits_links, "read_bound", read_bound)
    return SimpleNamespace(interp=None, read=lambda address, name: None)


def test_a_list_that_was_freed_hides_no_link(fields: Any) -> None:  # noqa: ANN401
    assert read_linked(fields, OBJECT) == {GREENLET}


def test_links_that_have_a_name_and_cannot_be_read_are_an_error(fields: Any) -> None:  # noqa: ANN401
    fields.read = lambda address, name: FREED
    with pytest.raises(ReadError):
        read_linked(fields, OBJECT)
