"""Findings name the tests of pytest that they belong to."""

from __future__ import annotations

import sample_reports as sample
from lastwords.diagnose import diagnose
from lastwords.model import Finding
from lastwords.report.text import format_report
from sample_waits import Scene


def texts(finding: Finding) -> list[str]:
    return [one.text for one in finding.evidence]


def test_an_exception_and_its_test() -> None:
    report = sample.report(sample.caught(test="t.py::test_a (call)"))
    [found] = diagnose(report)
    assert texts(found)[-1] == "while t.py::test_a (call) ran"
    report.findings = [found]
    said = "\n".join(format_report(report))
    assert "  - while t.py::test_a (call) ran" in said
    assert "[exception-1] swallowed, while t.py::test_a (call) ran" in said


def test_one_exception_of_many_tests_names_a_few() -> None:
    caught = [sample.caught(id=f"exception-{number}", test=f"t.py::test_{number} (call)") for number in range(9)]
    [found] = diagnose(sample.report(*caught))
    assert texts(found)[-5:] == [*(f"while t.py::test_{one} (call) ran" for one in range(4)), "and so in 5 more tests"]


def hanging() -> Scene:
    scene = Scene()
    worker = scene.thread("worker", test="t.py::test_leaves")
    scene.waits(scene.thread("MainThread"), worker)
    scene.waits(worker, scene.lock("jobs", "queue", locked=None))
    scene.leaves()
    return scene


def test_a_thread_that_a_test_left() -> None:
    found = diagnose(hanging().report)[0]
    assert texts(found)[-1] == "worker was left running by t.py::test_leaves"


def test_a_test_that_hangs() -> None:
    scene = hanging()
    scene.report.threads[0].test = None
    scene.moment.test = "t.py::test_hangs (call)"
    found = diagnose(scene.report)[0]
    assert texts(found)[-1] == "while t.py::test_hangs (call) ran"
    scene.report.findings = [found]
    assert "  while t.py::test_hangs (call) ran" in list(format_report(scene.report))


def test_without_pytest_nothing_is_said() -> None:
    scene = hanging()
    scene.report.threads[0].test = None
    assert not any("test" in text for text in texts(diagnose(scene.report)[0]))
