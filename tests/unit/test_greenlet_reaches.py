"""What leads from one object to others: a word that is no object leads nowhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lastwords.cpython.structs import TYPE
from lastwords.cpython.types import Kind
from lastwords.greenlets import reaches
from lastwords.greenlets.reaches import Reaches

OBJECT, ATTRIBUTE, OF_CLASS = 0x1000, 0x2000, 0x3000


def follow(monkeypatch: pytest.MonkeyPatch, flags_of_class: int) -> list[int]:
    """From an object with one attribute, whose class has a class with these flags."""
    kind = Kind(address=OF_CLASS, name="", is_heap=True, flags=0, base=0)
    monkeypatch.setattr(reaches, "type_of", lambda interp, address: kind)
    monkeypatch.setattr(reaches, "is_subtype", lambda interp, kind, name: False)
    monkeypatch.setattr(reaches, "read_bound", lambda interp, address: 0)
    monkeypatch.setattr(reaches, "read_attributes", lambda interp, address: [("name", ATTRIBUTE)])
    monkeypatch.setattr(reaches, "read_members", lambda interp, address, kind: [])
    interp: Any = SimpleNamespace(type_flags={OF_CLASS: flags_of_class}.__getitem__)
    fields: Any = None
    return list(Reaches(interp, fields, {})._of_object(OBJECT))


def test_an_object_leads_to_its_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow(monkeypatch, TYPE) == [ATTRIBUTE]


def test_what_has_no_class_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow(monkeypatch, 0) == []
