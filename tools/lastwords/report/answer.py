"""The findings as text: the answer in the first line, the chain of waits under it, the fix; then what else is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lastwords.model import Evidence, Finding
from lastwords.report.clean import clean
from lastwords.report.layout import Page, shorten
from lastwords.report.places import is_standard, short_place, shorten_path

STEP = 3  # columns by which a chain of waits is indented
DEEPEST = 10  # steps; those below are indented no further
FEW_PLACES = 3
FEW_OTHERS = 6


def format_findings(page: Page, findings: Sequence[Finding]) -> Iterator[str]:
    """The first one whole; of the others the titles, with details or `each` them, too."""
    first, *others = findings
    yield from page.wrap(first.title + _places(first), style=page.bold)
    yield from _format_finding(page, first)
    if page.details or page.each:
        for finding in others:
            yield ""
            yield from page.wrap(f"also: {finding.title}{_places(finding)}", hanging="      ", style=page.bold)
            yield from _format_finding(page, finding)
    elif others:
        yield from _format_titles(page, others)


def _format_titles(page: Page, findings: Sequence[Finding]) -> Iterator[str]:
    yield ""
    yield page.heading("Also found (--all shows why)")
    for finding in findings[:FEW_OTHERS]:
        yield from page.wrap(f"- {finding.title} ({finding.code}, {finding.certainty})", "  ", hanging="    ")
    if len(findings) > FEW_OTHERS:
        yield f"  - and {len(findings) - FEW_OTHERS} more findings"


def _places(finding: Finding) -> str:
    """Where those stand whom it is about, in the program's own files; nothing that the title says already."""
    found = [one for one in finding.subjects if one.file and one.line and not is_standard(one.file)]
    places = dict.fromkeys(short_place(one.file, one.line) for one in found)
    shown = [place for place in places if place not in finding.title][:FEW_PLACES]
    return f" ({', '.join(shown)})" if shown else ""


def _format_finding(page: Page, finding: Finding) -> Iterator[str]:
    yield from page.wrap(f"{finding.code}, {finding.certainty}; more: lastwords explain {finding.code}", "  ")
    if finding.evidence:
        yield ""
        yield page.heading("Because")
        yield from format_evidence(page, finding.evidence)
    for title, text, references in (("Fix", finding.fix, finding.references), ("Why", finding.explanation, [])):
        if text:
            yield ""
            yield page.heading(title)
            yield from page.paragraphs(text, "  ")
        for reference in references:
            yield f"  {clean(reference)}"


def format_evidence(page: Page, evidence: Sequence[Evidence]) -> Iterator[str]:
    """A list; a chain of waits in it as a tree: whom somebody waits for stands below, and further in."""
    above = 0
    for one in evidence:
        depth = min(one.depth, DEEPEST)
        mark = "- " if not depth else "`- " if depth > above else "   "
        indent = " " * (4 + STEP * (depth - 1)) if depth else "  "
        yield from _format_fact(page, one, indent, mark)
        above = depth


def _format_fact(page: Page, one: Evidence, indent: str, mark: str) -> Iterator[str]:
    value = _value(one)
    address = "" if one.address is None or f"{one.address:#x}" in one.text else f" at {one.address:#x}"
    tail = f": {shorten(value)}" if value and not one.file else ""
    inner = indent + " " * len(mark)
    yield from page.wrap(f"{mark}{one.text}{address}{tail}", indent, hanging=inner)
    if one.file:
        yield from _format_place(page, one, value, f"{inner}  ")


def _format_place(page: Page, one: Evidence, value: str, indent: str) -> Iterator[str]:
    """The place, and what stands there beside it, or where that is too long, below."""
    line = f":{one.line}" if one.line else ""
    at = clean(shorten_path(one.file or "", page.width - len(indent) - len(line)) + line)
    if value and len(indent) + len(at) + 2 + len(clean(value)) <= page.width:
        yield f"{indent}{page.dim(f'{at}:')} {clean(value)}"
        return
    yield f"{indent}{page.dim(at)}"
    if value:
        yield from page.wrap(shorten(value), f"{indent}  ")


def _value(one: Evidence) -> str:
    """Without the place, which is told beside it."""
    return (one.value or "").replace(f" at {one.file}:{one.line}", "")
