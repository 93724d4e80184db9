"""README.md's report of a gevent server is what `attach` says of docs/examples/transfers.py.

LASTWORDS_GOLDEN=write writes it there, as it came from this run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from environments import Environment
from harness import running, wait_until_at_rest
from interpreters import Interpreter
from lastwords.diagnose import diagnose
from lastwords.examine import Options, attach_process
from lastwords.model import Report, from_json, to_json
from lastwords.report.text import format_report

CHECKOUT = Path(__file__).resolve().parents[2]
README, EXAMPLES = CHECKOUT / "README.md", CHECKOUT / "docs" / "examples"
START, END = "<!-- report: docs/examples/transfers.py -->\n\n```text\n", "```\n"
# what is another one in each run, or in each release of Python and gevent
VARIES = re.compile(
    r"which watches to read: .*? in run|0x[0-9a-f]+|pid \d+|tid \d+|[\d.e+]+ m?s\b|127\.0\.0\.1:\d+|fd \d+"
    r"|\d+ like customer-\d+|customer-\d+: an item"
    r"|\d+\.\d+\.\d+|(?:hub|thread|baseserver)\.py(?::\d+|\", line \d+)"
)


def shorten(report: Report, environment: Environment, interpreter: Interpreter) -> Report:
    """The same with short paths, so that its lines break where they break in README.md."""
    text = to_json(report).decode()
    for path, short in (
        (EXAMPLES, "/srv"),
        (environment.root, "/opt/server"),
        (interpreter.path.parents[1], "/opt/python"),
    ):
        text = text.replace(str(path), short)
    return from_json(text.encode())


def comparable(text: str) -> str:
    return " ".join(VARIES.sub("...", " ".join(text.split())).split())


@pytest.mark.interpreters("symbols", minors=("3.11",))
def test_the_report_of_a_server_with_thousands_of_greenlets(
    gevent_environment: Environment, interpreter: Interpreter
) -> None:
    with running([gevent_environment.python, "transfers.py"], cwd=EXAMPLES, env=gevent_environment.env) as target:
        target.wait_for("ready")
        wait_until_at_rest(target.pid)
        report = attach_process(target.pid, Options(native=False))
    report = shorten(report, gevent_environment, interpreter)
    report.findings = diagnose(report)
    page = "".join(f"{line}\n" for line in format_report(report, native="none"))
    before, _, rest = README.read_text().partition(START)
    written, _, after = rest.partition(END)
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        README.write_text(f"{before}{START}{page}{END}{after}")
        written = page
    assert written, "README.md has no place for it"
    assert comparable(page) == comparable(written)


def test_what_varies_is_all_that_is_not_compared() -> None:
    assert comparable("held by customer-4\n  at 0x7f, pid 7") == "held by customer-4 at ..., ..."
    assert comparable("held by customer-4") != comparable("held by customer-5")
    assert comparable("transfers.py:20") != comparable("transfers.py:21")
