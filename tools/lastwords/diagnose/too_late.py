"""`too-late`: code ran while the interpreter was going down and did what it no longer may then."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.caught import basic_evidence, is_of_module, raised_at, subjects, summary, traceback, type_name
from lastwords.model import Caught, Certainty, Evidence, Finding, Frame, Report

CODE = "too-late"

IMPORTERS = ("importlib._bootstrap", "importlib._bootstrap_external")
FROZEN_IMPORTERS = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
EXPLANATION = (
    "On its way down the interpreter takes things away one after the other: first new threads (since CPython 3.12 "
    "already when the atexit callbacks run), then the import system, the modules' globals and the builtins. Code "
    "that still runs then (atexit callbacks, finalizers, weakref callbacks) must do without them."
)
FIX = (
    "Do it earlier: close or flush explicitly at the end of main, or in a `with` block. Import at the top of the "
    "module rather than in the function, and start threads before the program ends."
)
PHASES = {"shutdown": "the shutdown", "finalizing": "finalization"}


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each exception that came of running too late."""
    earlier = [raised_at(caught) for caught in report.exceptions if caught.phase == "running"]
    for caught in report.exceptions:
        match = _match(caught) if caught.phase != "running" and caught.how != "uncaught" else None
        if match and raised_at(caught) not in earlier:  # what failed before as well does not fail for the phase
            yield _finding(caught, *match)


def _match(caught: Caught) -> tuple[str, Certainty] | None:
    """What it tried to do, and how sure that is: the phase and the frames are facts, the reason often is not."""
    kind, at = type_name(caught.exception), raised_at(caught)
    if kind == "RuntimeError" and at and at.function == "start" and is_of_module(at, "threading"):
        return "starts a thread", "likely"
    if caught.phase != "finalizing":
        return None
    if kind == "ImportError":
        return "imports a module", "certain" if at and _is_importer(at) else "likely"
    if kind == "RuntimeError" and at and _is_of_greenlets(at):
        return "switches or asks for a greenlet", "likely"
    if kind in ("NameError", "AttributeError", "TypeError") and traceback(caught):
        return "uses a name that may be gone", "possible"
    return None


def _is_importer(frame: Frame) -> bool:
    return frame.module in IMPORTERS or frame.file in FROZEN_IMPORTERS


def _is_of_greenlets(frame: Frame) -> bool:
    return any(is_of_module(frame, f"gevent.{name}") for name in ("thread", "hub", "_hub_local", "_hub_primitives"))


def _finding(caught: Caught, what: str, certainty: Certainty) -> Finding:
    phase = PHASES[caught.phase]
    return Finding(
        code=CODE,
        title=f"code that ran during {phase} {what}: {summary(caught)}",
        certainty=certainty,
        process=caught.process,
        subjects=subjects(caught),
        evidence=[Evidence(text="the interpreter's phase at that moment", value=caught.phase), *basic_evidence(caught)],
        explanation=EXPLANATION,
        fix=FIX,
    )
