"""A sample of what `make test-deep` measures: generated programs of waits get the findings that were built in."""

from __future__ import annotations

from typing import Any

import pytest

from deep.verdicts import compare, measure, open_environment
from environments import EnvironmentFailedError
from interpreters import Interpreter
from lastwords.diagnose import diagnose
from lastwords.model import Finding
from needs import lack
from sample_waits import Scene

SEEDS = range(100, 106)  # at once; all of them wait for a second, and use none

pytestmark = pytest.mark.interpreters("!free_threaded")


@pytest.mark.parametrize("kind", ["threads", "greenlets", "mixed", "tasks"])
@pytest.mark.interpreters(minors=("3.11",))
def test_the_findings_are_those_that_were_built_in(interpreter: Interpreter, kind: str) -> None:
    check(interpreter, kind)


@pytest.mark.interpreters(minors=("2.7", "3.14"))
def test_those_of_threads(interpreter: Interpreter) -> None:
    check(interpreter, "threads")


@pytest.mark.interpreters(minors=("3.6",))
def test_those_of_greenlets(interpreter: Interpreter) -> None:
    check(interpreter, "greenlets")


def check(interpreter: Interpreter, kind: str) -> None:
    try:
        environment = open_environment(interpreter, kind)
    except EnvironmentFailedError as error:
        lack(f"gevent for {interpreter.name}: {error}")
    measured = measure(interpreter.name, environment, [(kind, seed) for seed in SEEDS])
    assert measured.failures == []
    assert measured.programs == len(SEEDS)


FACTS: dict[str, Any] = {
    "codes": ["lock-cycle"], "certain": True, "lines": [4, 8], "near": [], "file": "/srv/app.py", "healthy": False
}  # fmt: skip


def cross() -> Scene:
    """Two threads, at lines 4 and 8, that wait for each other."""
    scene = Scene()
    one, other = scene.thread("MainThread", 4), scene.thread("other", 8)
    scene.waits(one, other)
    scene.waits(other, one)
    return scene


def differ(scene: Scene, **facts: Any) -> str:  # noqa: ANN401
    scene.report.findings = scene.report.findings or diagnose(scene.report)
    return "\n".join(compare(scene.report, FACTS | facts))


def test_a_wrong_expectation_is_found_out() -> None:
    assert differ(cross()) == ""
    assert "not ['orphaned-lock']" in differ(cross(), codes=["orphaned-lock"])
    assert "not []" in differ(cross(), codes=[], healthy=True)
    assert "not ['lock-cycle', 'waits-on-holder']" in differ(cross(), codes=["lock-cycle", "waits-on-holder"])
    assert "lock-cycle is certain" in differ(cross(), certain=False)
    for lines in ([4], [4, 9], [4, 8, 9]):
        assert "is about those at" in differ(cross(), lines=lines)
    assert differ(cross(), lines=[4], near=[8]) == ""


def test_a_finding_too_many_and_a_healthy_program_without_the_word_are_found_out() -> None:
    scene = cross()
    scene.report.findings = [Finding(code=code, title="", certainty="certain") for code in ("lock-cycle", "gil-held")]
    assert "gil-held" in differ(scene)
    scene = Scene(signals_caught=["SIGTERM"])
    scene.waits(scene.thread("MainThread"), None, call="recvfrom")
    assert differ(scene, codes=[], healthy=True) == "it is not called healthy"
