"""Every error that a user can see, word for word: tests/golden/NAME.txt is the whole of stderr.

LASTWORDS_GOLDEN=write makes the files anew; look at the difference before it is committed.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sample_reports as sample
from lastwords.cli import main
from lastwords.report.json_report import encode

GOLDEN = Path(__file__).parents[1] / "golden"
OF_OTHER_TESTS = (
    *("run_", "trace_", "guard_", "gdb_", "attach_", "core_", "ps_", "snapshot_"),
    *("elsewhere_", "sidecar_", "image_"),
)
Output = pytest.CaptureFixture[str]

CASES: dict[str, tuple[list[str], int]] = {
    "no_such_command": (["rnu", "--", "python"], 2),
    "no_such_command_like_it": (["app.py"], 2),
    "no_such_option": (["report", "--jsno", "x", "saved.json"], 2),
    "no_such_option_like_it": (["report", "--verbatim-everything", "saved.json"], 2),
    "option_without_value": (["report", "saved.json", "--json"], 2),
    "missing_argument": (["report"], 2),
    "bad_choice": (["report", "--fail-on", "sight", "saved.json"], 2),
    "unknown_shell": (["completion", "tcsh"], 2),
    "unknown_finding": (["explain", "monkey-patch"], 2),
    "unknown_finding_like_none": (["explain", "xyz"], 2),
    "report_missing": (["report", "nowhere.json"], 4),
    "report_not_json": (["report", "notes.txt"], 3),
    "report_other_json": (["report", "other.json"], 3),
    "report_broken": (["report", "broken.json"], 3),
    "report_of_another_schema": (["report", "future.json"], 3),
    "json_disk_full": (["report", "saved.json", "--json", "/dev/full"], 4),
    "json_no_directory": (["report", "saved.json", "--json", "no/where.json"], 4),
    "doctor_bad_pid": (["doctor", "app.py"], 2),
    "doctor_no_python": (["doctor", "--python", "/bin/true"], 4),
    "doctor_no_such_python": (["doctor", "--python", "/no/python"], 4),
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("saved.json").write_bytes(encode(sample.original()))
    Path("notes.txt").write_text("Dear diary")
    Path("other.json").write_text('{"name": "left-pad"}')
    Path("broken.json").write_text('{"schema": 1, "mode": "run"}')
    Path("future.json").write_text('{"schema": 99}')


def compare(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, capsys: Output) -> None:
    arguments, code = CASES[name]
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    compare(name, shown.err)


def test_golden_stdout_full(monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    with full_stdout():
        assert main(["explain"]) == 4
    compare("stdout_full", capfd.readouterr().err)


class full_stdout:  # noqa: N801 (a context manager)
    """Descriptor 1 is a full disk."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        self.saved = os.dup(1)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, 1)
        os.close(full)
        self.stdout, sys.stdout = sys.stdout, os.fdopen(os.dup(1), "w")

    def __exit__(self, *_: object) -> None:
        sys.stdout, broken = self.stdout, sys.stdout
        os.dup2(self.saved, 1)
        os.close(self.saved)
        broken.close()


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    def fail(_: str) -> None:
        raise ZeroDivisionError("our mistake")

    monkeypatch.setattr("lastwords.cli.report.read_report", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("LASTWORDS_DEBUG", raising=False)
    yield tmp_path


def test_golden_bug(bug: Path, capsys: Output) -> None:
    assert main(["report", "x"]) == 125
    message = capsys.readouterr().err
    [details] = bug.iterdir()
    assert "ZeroDivisionError: our mistake" in details.read_text()
    assert details.stat().st_mode & 0o777 == 0o600
    assert "Traceback" not in message
    compare("bug", re.sub(r"test_cli_errors.py:\d+", "FILE:LINE", message.replace(str(details), "DETAILS")))


def test_golden_bug_without_a_place_for_its_details(bug: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(bug / "nowhere"))
    assert main(["report", "x"]) == 125
    compare("bug_unsaved", re.sub(r"test_cli_errors.py:\d+", "FILE:LINE", capsys.readouterr().err))


def test_debug_shows_the_traceback_of_a_bug(bug: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("LASTWORDS_DEBUG", "1")
    assert main(["report", "x"]) == 125
    assert "Traceback (most recent call last):" in capsys.readouterr().err
    assert list(bug.iterdir()) == []


def test_every_golden_file_has_its_test() -> None:
    others = {"stdout_full", "bug", "bug_unsaved", "no_memory"}
    ours = {path.stem for path in GOLDEN.glob("*.txt") if not path.stem.startswith(OF_OTHER_TESTS)}
    assert ours == {*CASES, *others}
