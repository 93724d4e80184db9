"""One line of `doctor`, and how lines are laid out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "note"]


@dataclass(frozen=True)
class Check:
    """What was looked at, the fact with what follows, whether it is in the way, and the command that mends it.

    mend: commands to paste, one a line; source: the file (or call) that told it
    """

    name: str
    state: State
    fact: str
    mend: str = ""
    source: str = ""


def format_checks(checks: Sequence[Check]) -> Iterator[str]:
    """One line a check, its source in brackets, its commands below it."""
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        source = f"  [{check.source}]" if check.source else ""
        yield f"{check.state:<7} {check.name:<{width}}  {check.fact}{source}"
        for line in check.mend.splitlines():
            yield f"{'':<7} {'':<{width}}    {line}"
