"""What a test needs of the machine: missing, it skips and says what; under CI it fails instead.

CI runs on a machine that `make` has set up: what this project promises to set up must be there, or a green run
would only say that nothing was tested.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def is_ci() -> bool:
    """Whether the caller set CI, as build machines do."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def need(condition: object, what: str) -> None:
    """Go on if `condition` holds; otherwise skip the test, or fail it under CI, saying that `what` is missing."""
    if not condition:
        lack(what)


def lack(what: str) -> NoReturn:
    """End the test: `what` is missing."""
    if is_ci():
        pytest.fail(f"missing on this machine, and CI is set: {what}", pytrace=False)
    pytest.skip(f"missing on this machine: {what}")
