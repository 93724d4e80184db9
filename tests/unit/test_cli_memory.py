"""Too little memory, also while the commands are loaded: one message, whatever was raised."""

from __future__ import annotations

import errno
import re
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest

from lastwords.cli import main, memory

GOLDEN = Path(__file__).parents[1] / "golden" / "no_memory.txt"
LIBRARY = ImportError("", path=sys.executable)
SHORT = [OSError(errno.ENOMEM, ""), SystemError(), LIBRARY]


class Fails(MetaPathFinder):
    """Nothing that is looked for by it is found."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def find_spec(self, *_: object) -> None:
        raise self.error


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has all that it may have."""
    monkeypatch.setattr(memory, "_read_limit", lambda: 16 << 20)


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("error", [*SHORT, MemoryError()], ids=lambda error: type(error).__name__)
def test_commands_that_cannot_be_loaded(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "lastwords.cli.entry", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Fails(error)])
    assert main(["ps"]) == 4
    assert re.sub(r"\d+ MB", "<limit> MB", capfd.readouterr().err) == GOLDEN.read_text()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, ""), SystemError(), LIBRARY, ImportError(""), ValueError()], ids=repr
)
def test_other_errors_are_not_taken_for_it(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_read_limit", lambda: None)
    assert not memory.is_for_memory(error)
    monkeypatch.delitem(sys.modules, "lastwords.cli.entry", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Fails(error)])
    with pytest.raises(type(error)):
        main(["ps"])


@pytest.mark.parametrize("limit", [None, 1 << 50])
def test_a_limit_that_is_far_away(limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_read_limit", lambda: limit)
    assert [memory.is_for_memory(error) for error in SHORT] == [True, False, False]


def test_without_a_limit_it_is_the_machine(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(memory, "_read_limit", lambda: None)
    assert memory.say_memory() == 4
    assert capfd.readouterr().err == "lastwords: the machine has too little memory left.\n  free -m\n"
