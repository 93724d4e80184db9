"""`--redact`: nothing of the program's own is left in JSON or text, wherever it stood; and without it, all of it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

import sample_reports as sample
from lastwords.cli import main
from lastwords.diagnose import diagnose
from lastwords.model import (
    Caught,
    Descriptor,
    Edge,
    Evidence,
    ExceptionValue,
    Finding,
    Frame,
    Greenlet,
    Object,
    Report,
    Task,
    Thread,
    TraceCall,
    Value,
    WaitsFor,
    from_json,
)
from lastwords.report.json_report import encode
from lastwords.report.redact import HIDDEN, hide_path, redact
from lastwords.report.text import format_report
from sample_waits import every_hang
from schema import check_report

WORD = "hush"  # each secret is this with a number, so that none hides another


class Secrets:
    """Secrets of their own for each place, to be found again."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def __call__(self, place: str) -> str:
        return self.places.setdefault(place, f"{WORD}{len(self.places):02}")


def full_of(secret: Secrets) -> Report:
    """A report with a secret in every place where a target's own words may get to."""
    error = ExceptionValue(
        type="builtins.ValueError",
        value=f"no {secret('exception value')}",
        args=[Value(type="str", repr=f"'{secret('exception argument')}'")],
        traceback=[sample.python("work", f"/home/{secret('path of a traceback')}/app.py", 3, "raise ValueError(text)")],
        context=ExceptionValue(type="KeyError", value=f"'{secret('value of a context')}'"),
    )
    caught = Caught(
        id="exception-1", process="process-1", how="unraisable", exception=error,
        message=f"Exception ignored in: <{secret('message')}>", object=Value(repr=f"<Client {secret('object')}>"),
        error=f"no {secret('exception argument')} at /srv/{secret('path in an error')}/x.bin",
        python_stack=[sample.python("work", f"/srv/{secret('path of a stack')}/app.py", 3)],
        stack=[Frame(kind="native", function="f", library=f"/opt/{secret('path of a library')}/libf.so", line=1,
                     file=f"/build/{secret('path of a C file')}/f.c", arguments=f"p={secret('C arguments')}")],
    )  # fmt: skip
    process = sample.process(
        argv=[f"/opt/{secret('path of the program')}/python", "app.py", f"--password={secret('argument')}"],
        executable=f"/opt/{secret('path of the executable')}/python3.12",
        cwd=f"/home/{secret('cwd')}",
        fds=[
            Descriptor(fd=3, target=f"/var/{secret('path of a descriptor')}/log", peer=f"@{secret('peer')}"),
            Descriptor(fd=4, target="socket:[4711]", peer="10.1.2.3:80"),
        ],
    )
    local = {"password": Value(type="str", repr=f"'{secret('local')}'")}
    thread = Thread(
        id="thread-1", moment="moment-1", tid=1, name=f"/transfer?to={secret('thread name')}", is_main=True,
        stack=[Frame(kind="python", function="serve", file=f"/srv/{secret('path of a frame')}/app.py", line=7,
                     source="sock.recv(1)", locals=local)],
        waits_for=WaitsFor(
            kind="io", call="recvfrom", target="object-1",
            detail=f"recvfrom on fd 5: TCP 10.1.2.3:80 to [fe80::1]:8080, unix @{secret('socket')}, the file "
            f"/data/{secret('path in a detail')}/f; the other end: process 5 (/transfer?to={secret('thread name')})",
        ),
        pending=error, error=f"at /home/{secret('cwd')}: /home/{secret('cwd')}/x",
    )  # fmt: skip
    made = sample.report(
        caught, mode="attach", processes=[process], moments=[replace(sample.moment(), reason="attach")],
        threads=[thread],
        greenlets=[Greenlet(id="greenlet-1", moment="moment-1", name=f"for {secret('greenlet name')}@example.org")],
        tasks=[Task(id="task-1", moment="moment-1", name=f"<{secret('task name')}>", stack=thread.stack)],
        objects=[Object(id="object-1", moment="moment-1", kind="queue", name="self.jobs",
                        state={"item": Value(repr=f"'{secret('state of an object')}'")})],
        edges=[Edge(origin="thread-1", to="object-1", kind="waits", certainty="certain",
                    evidence=f"`with x` at /srv/{secret('path in evidence')}/app.py:7")],
        trace=[TraceCall(process="process-1", function="f", arguments={"key": f"'{secret('traced argument')}'"},
                         changed=[f"x = '{secret('changed local')}'"], result=f"'{secret('result')}'",
                         exception=f"KeyError: '{secret('traced exception')}'",
                         file=f"/srv/{secret('path of a call')}/app.py")],
        problems=[f"app.py --password={secret('argument')} is no Python: /opt/{secret('path of a problem')}/x"],
    )  # fmt: skip
    made.findings = [
        Finding(
            code="exception-swallowed", certainty="certain", title=f"ValueError: no {secret('exception value')}",
            evidence=[Evidence(text=f"it says {secret('value of a context')}", value=f"<Client {secret('object')}>",
                               file=f"/srv/{secret('path of an evidence')}/app.py", line=3)],
            explanation=f"'{secret('exception argument')}' came from 192.168.7.9:5432",
        )
    ]  # fmt: skip
    return made


def shown(report: Report) -> str:
    text = "\n".join(format_report(report, details=True, native="all", each=True))
    return f"{encode(report).decode()}\n{text}"


def test_without_it_every_secret_is_there() -> None:
    secret = Secrets()
    text = shown(full_of(secret))
    assert len(secret.places) > 30
    assert [place for place, one in secret.places.items() if one not in text] == []
    assert "10.1.2.3" in text and "fe80::1" in text and "192.168.7.9" in text


def test_with_it_none_is() -> None:
    secret = Secrets()
    report = redact(full_of(secret))
    text = shown(report)
    assert [place for place, one in secret.places.items() if one in text] == []
    assert WORD not in text
    assert not re.search(r"10\.1\.2\.3|fe80|192\.168|example\.org", text)
    check_report(encode(report))


def test_what_tells_of_the_program_stays() -> None:
    text = shown(redact(full_of(Secrets())))
    for word in ("serve", "self.jobs", "raise ValueError(text)", "app.py", "ValueError", "libf.so", "password", "fd 5"):
        assert word in text


def test_it_leaves_the_report_as_it_was() -> None:
    report = full_of(Secrets())
    before = encode(report)
    redact(report)
    assert encode(report) == before


@pytest.mark.parametrize("report", [sample.original(), sample.native_thread(), *every_hang()])
def test_its_findings_are_the_same_when_it_is_judged_again(report: Report) -> None:
    report.findings = diagnose(report)
    again = from_json(encode(redact(report)))
    assert [(one.code, one.certainty) for one in diagnose(again)] == [
        (one.code, one.certainty) for one in report.findings
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/lib/python3.12/asyncio/events.py", "<path>/asyncio/events.py"),
        ("/opt/py/lib/python2.7/threading.py", "<path>/threading.py"),
        ("/home/me/venv/lib/python3.12/site-packages/shop/models.py", "models.py"),
        ("/home/me/python3.12/shop.py", "shop.py"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
        ("<path>/threading.py", "<path>/threading.py"),
        ("app.py", "app.py"),
        ("/", HIDDEN),
    ],
)
def test_paths(path: str, expected: str) -> None:
    assert hide_path(path) == expected


def test_short_values_do_not_eat_words() -> None:
    report = sample.report(sample.caught())
    report.problems = ["1 of 11 pages; exception-1"]
    report.exceptions[0].exception = ExceptionValue(type="ValueError", value="1")
    made = redact(report)
    assert made.problems == [f"{HIDDEN} of 11 pages; exception-{HIDDEN}"]
    assert made.exceptions[0].id == "exception-1"


@pytest.mark.parametrize("words", [["--json", "-"], ["--text", "-"], ["--all", "-v"]])
def test_the_command(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.json").write_bytes(encode(full_of(Secrets())))
    assert main(["report", str(tmp_path / "r.json"), *words]) == 0
    assert WORD in capsys.readouterr().out
    assert main(["report", "--redact", str(tmp_path / "r.json"), *words]) == 0
    assert WORD not in capsys.readouterr().out


def test_a_redacted_report_can_be_read_again(tmp_path: Path) -> None:
    saved, again = tmp_path / "r.json", tmp_path / "again.json"
    saved.write_bytes(encode(redact(full_of(Secrets()))))
    assert main(["report", str(saved), "--redact", "--json", str(again)]) == 0
    assert json.loads(again.read_bytes())["processes"] == json.loads(saved.read_bytes())["processes"]
