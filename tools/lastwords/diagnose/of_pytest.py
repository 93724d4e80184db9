"""Which test of pytest a finding belongs to: one more piece of its evidence."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.model import Evidence, Finding, Report

FEW = 4


def name_tests(report: Report, findings: list[Finding]) -> list[Finding]:
    """The findings; those that fell into a test, or are about a thread that one left, say so."""
    tests = _tests_of(report)
    if tests:
        for finding in findings:
            about = [*(subject.id or "" for subject in finding.subjects), finding.process or ""]
            finding.evidence += _tell([text for one in about for text in tests.get(one, [])])
    return findings


def _tell(texts: list[str]) -> Iterator[Evidence]:
    told = list(dict.fromkeys(texts))
    yield from (Evidence(text=text) for text in told[:FEW])
    if len(told) > FEW:
        yield Evidence(text=f"and so in {len(told) - FEW} more tests")


def _tests_of(report: Report) -> dict[str, list[str]]:
    """What is to be said of exceptions, threads, and of processes that hang, by their ids."""
    found: dict[str, list[str]] = {}
    for caught in report.exceptions:
        if caught.test:
            found.setdefault(caught.id, []).append(f"while {caught.test} ran")
    for thread in report.threads:
        if thread.test:
            found.setdefault(thread.id, []).append(f"{thread.name or 'a thread'} was left running by {thread.test}")
    for moment in report.moments:
        if moment.test and moment.reason != "unraisable":
            found.setdefault(moment.process, []).append(f"while {moment.test} ran")
    return found
