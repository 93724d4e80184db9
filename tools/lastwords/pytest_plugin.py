"""pytest's plugin: `pytest --lastwords` runs pytest again, under `lastwords run`, and notes which test left a thread.

Without --lastwords, and without `pytest = true` in [tool.lastwords], it does nothing; it imports no part of lastwords.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDER = "LASTWORDS_UNDER_PYTEST"  # set for the second pytest, and for the workers of xdist
HANG_AFTER = "20"  # seconds, where the project says nothing

started: dict[int, str] = {}  # idents of threads that are still there: the test that left them; read from outside


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --lastwords and --no-lastwords."""
    group = parser.getgroup("lastwords")
    group.addoption(
        "--lastwords", action="store_const", const=True, dest="lastwords",
        help="Run under `lastwords run`: a report of what is swallowed, and of an exit that hangs.",
    )  # fmt: skip
    group.addoption(
        "--no-lastwords", action="store_const", const=False, dest="lastwords",
        help="Do not, whatever [tool.lastwords] says.",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before any file of the project is imported: pytest once more, under lastwords; or notes, where it is there."""
    if os.environ.get(UNDER):
        early_config.pluginmanager.register(_Threads(), "lastwords-threads")
    elif _is_wanted(early_config):
        _start_again(early_config)


def _is_wanted(config: pytest.Config) -> bool:
    asked: bool | None = config.known_args_namespace.lastwords
    if asked is None and (Path(config.rootpath) / "pyproject.toml").is_file():
        return _read_project(config).get("pytest") is True
    return bool(asked)


def _read_project(config: pytest.Config) -> Mapping[str, Any]:
    """[tool.lastwords]; empty where nothing of it is in the file, which costs no more than to read that."""
    path = Path(config.rootpath) / "pyproject.toml"
    if not path.is_file() or b"lastwords" not in path.read_bytes():
        return {}
    from lastwords.errors import UsageError  # noqa: PLC0415
    from lastwords.project import read_table  # noqa: PLC0415

    try:
        return read_table(path)
    except UsageError as error:
        raise pytest.UsageError(error.fact) from None


def _start_again(config: pytest.Config) -> None:
    """As it was called, but with lastwords as the parent, which ends as pytest ends."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)  # it has put files in the place of our output
    limits = ["--hang-after", HANG_AFTER] if not _has_limit(config) else []
    command = ["-m", "lastwords", "run", *limits, "--", sys.executable, *sys.orig_argv[1:]]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *command], os.environ | {UNDER: "1"})


def _has_limit(config: pytest.Config) -> bool:
    """Whether the project or the environment says when an exit hangs."""
    return bool(os.environ.get("LASTWORDS_HANG_AFTER")) or "hang-after" in _read_project(config)


class _Threads:
    """Notes at the end of each test which threads it left."""

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Around a test with all its fixtures."""
        yield
        there = {one.ident for one in threading.enumerate() if one.ident is not None}
        for ident in set(started) - there:
            del started[ident]
        for ident in there - {threading.main_thread().ident}:
            started.setdefault(ident, item.nodeid)
