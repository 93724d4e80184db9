"""The JSON report: the published schema, and files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import sample_reports as sample
from lastwords import diagnose, model
from lastwords.errors import SetupError
from lastwords.report.json_report import encode, write_file, write_json
from schema import SCHEMA_FILE, check_report

ROOT = Path(__file__).parents[2]


def test_the_published_schema_is_the_models() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import make_schema; print(make_schema.format_schema(), end='')"],
        cwd=ROOT / "tools",
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
        capture_output=True,
        check=True,
    )
    assert made.stdout == SCHEMA_FILE.read_bytes(), "docs/report.schema.json is old: python tools/make_schema.py"


@pytest.mark.parametrize("report", [sample.original(), sample.native_thread(), sample.report()])
def test_reports_follow_the_schema_and_come_back_as_they_were(report: model.Report) -> None:
    report.findings = diagnose.diagnose(report)
    check_report(encode(report))
    assert model.from_json(encode(report)) == report


def test_the_check_can_fail() -> None:
    document = json.loads(encode(sample.original()))
    document["exceptions"][0]["how"] = "by magic"
    with pytest.raises(AssertionError, match=r"\$\.exceptions\[0\]\.how"):
        check_report(document)
    twice = json.loads(encode(sample.original()))
    twice["exceptions"] *= 2
    with pytest.raises(AssertionError, match="not unique"):
        check_report(twice)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": "one"}, json.loads(SCHEMA_FILE.read_bytes()))


def test_text_that_utf8_cannot_hold_is_escaped() -> None:
    report = sample.report(processes=[sample.process(argv=["caf\udce9"])])
    document = check_report(encode(report))
    assert document["processes"][0]["argv"] == ["caf\\udce9"]


def test_control_characters_survive_json() -> None:
    report = sample.report(sample.caught(message="\x1b[31m\x00"))
    assert b"\x1b" not in encode(report)
    assert model.from_json(encode(report)).exceptions[0].message == "\x1b[31m\x00"


def test_a_report_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    path.chmod(0o644)
    write_json(sample.original(), str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    check_report(path.read_bytes())
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(target)
    write_file(str(link), b"{}")
    assert link.is_symlink() and target.read_bytes() == b"{}"


def test_a_full_disk_is_a_clear_error() -> None:
    with pytest.raises(SetupError, match="cannot write the report to /dev/full: No space left on device"):
        write_json(sample.original(), "/dev/full")


def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No such file or directory; it is not written"):
        write_json(sample.original(), str(tmp_path / "no" / "report.json"))


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SetupError, match="No space left"):
        write_file(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]
