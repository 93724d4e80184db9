"""`lastwords report FILE`: what an older release saved is judged again; what is no report is refused in words.

tests/reports/N.jsonl holds a report a line, as lastwords wrote them when the schema had fewer fields.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastwords.cli import main
from lastwords.diagnose import diagnose
from lastwords.errors import TargetError
from lastwords.report.json_report import decode, encode
from lastwords.report.redact import redact
from lastwords.report.text import format_report
from sample_waits import every_hang
from schema import check_report

SAVED = Path(__file__).parents[1] / "reports"
OLD = [(path.stem, line) for path in sorted(SAVED.iterdir()) for line in path.read_bytes().splitlines()]
Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize("line", [line for _, line in OLD], ids=[f"{age}-{at}" for at, (age, _) in enumerate(OLD)])
def test_what_an_older_release_saved_is_judged_as_then(line: bytes) -> None:
    then = json.loads(line)
    report = decode(line, "old.json")
    now = diagnose(report)
    assert now[0].code == then["findings"][0]["code"]
    assert [one.name for one in now[0].subjects] == [one["name"] for one in then["findings"][0]["subjects"]]
    report.findings = now
    assert check_report(encode(report))["findings"][0]["code"] == now[0].code
    assert next(format_report(report))


def test_each_age_has_fewer_fields_than_today() -> None:
    for line in dict(OLD).values():
        old = json.loads(line)
        today = json.loads(encode(decode(line, "old.json")))
        assert set(old) <= set(today)
        assert line.count(b":") < encode(decode(line, "old.json")).count(b":")


def test_the_findings_in_the_file_do_not_count(tmp_path: Path, capsys: Output) -> None:
    report = every_hang()[0]
    report.findings = []
    (tmp_path / "r.json").write_bytes(encode(report))
    assert main(["report", str(tmp_path / "r.json")]) == 0
    assert capsys.readouterr().out.startswith("deadlock: MainThread waits for lock lock, which it holds itself")


def test_a_field_of_a_newer_release_is_left_out(tmp_path: Path) -> None:
    document = json.loads(encode(every_hang()[0])) | {"dreams": ["of a newer release"]}
    document["threads"][0]["mood"] = {"of": "it"}
    assert decode(json.dumps(document).encode(), "new.json") == every_hang()[0]


def use(document: bytes) -> None:
    """All that `report` does with it; only a TargetError may come of it."""
    try:
        report = decode(document, "damaged.json")
    except TargetError as error:
        assert error.fact and "\n" not in error.fact[:80]
        return
    report.findings = diagnose(report)
    for shown in (report, redact(report)):
        assert list(format_report(shown, details=True, native="all"))
        assert encode(shown)


WHOLE = [encode(report) for report in every_hang()] + [line for _, line in OLD]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_damaged_bytes_are_refused_or_shown(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not damaged:
            break
    use(bytes(damaged))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WHOLE), st.integers())
def test_other_values_and_lost_entities_are_refused_or_shown(whole: bytes, seed: int) -> None:
    chance = random.Random(seed)
    document = json.loads(whole)
    for _ in range(chance.randrange(1, 6)):
        owner, key = chance.choice(list(places(document)))
        if chance.random() < 0.3:
            del owner[key]
        else:
            owner[key] = chance.choice(VALUES)
    use(json.dumps(document).encode())


VALUES: list[object] = [
    None,
    "",
    "t-MainThread",
    "o-lock",
    "process-7",
    -1,
    0,
    2**63,
    1e300,
    True,
    [],
    {},
    "\x1b[31m\n",
    "x" * 5000,
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 (JSON)
    """Every place of the document in which something stands, but for its schema."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if key != "schema":
            yield value, key
        yield from places(inner)


def test_a_time_that_no_calendar_has() -> None:
    report = every_hang()[4]
    for thread in report.threads:
        if thread.waits_for is not None:
            thread.waits_for.until, thread.waits_for.target = 1e300, report.objects[0].id
    use(encode(report))
    report.findings = []
    assert any("until second 1e+300 of the epoch" in line for line in format_report(report, width=200))
