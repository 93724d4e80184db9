"""`fatal-exit`: the interpreter aborted, or a fatal signal killed the process."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.caught import c_name, evidence, place, subject
from lastwords.model import Caught, Evidence, Finding, Frame, Process, Report, Subject
from lastwords.signals import CRASHES, signal_name

CODE = "fatal-exit"
# What lies between the cause and the signal on the stack: libc's and CPython's own way to abort.
ABORTING = frozenset(
    [
        "raise",
        "__GI_raise",
        "abort",
        "__GI_abort",
        "__pthread_kill_implementation",
        "__pthread_kill_internal",
        "pthread_kill",
        "__pthread_kill",
        "__GI___pthread_kill",
        "fatal_error",
        "fatal_error_exit",
        "_Py_FatalErrorFunc",
        "Py_FatalError",
        "_Py_FatalErrorFormat",
        "_Py_FatalRefcountErrorFunc",
        "Py_ExitStatusException",
    ]
)
FEW = 12  # innermost frames, among which aborting is
EXPLANATION = (
    "No Python code can catch this: the process ended on the spot, without atexit callbacks, `finally` blocks or "
    "flushing. The C stack says which code did it; the Python stack says who had called that code."
)
FIX = (
    "If the innermost C function belongs to an extension module, look there first: update it, or call it from one "
    "thread only. If it is Py_FatalError, its message above says which rule of the interpreter was broken."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each process that died of a fatal error or a crash."""
    fatal = {caught.process: caught for caught in report.exceptions if caught.how == "fatal"}
    for process in report.processes:
        if process.id in fatal or _crash(process):
            yield _finding(process, fatal.get(process.id))


def _crash(process: Process) -> str | None:
    """The name of the signal that killed it, if it is one of those that a crash sends."""
    name = signal_name(process.exit.signal) if process.exit and process.exit.signal else None
    return name if name in CRASHES else None


def _finding(process: Process, caught: Caught | None) -> Finding:
    cause = _cause(caught)
    running = next(iter(caught.python_stack), None) if caught else None
    return Finding(
        code=CODE,
        title=_title(process, cause, running, caught.message if caught else None),
        certainty="certain",
        process=process.id,
        subjects=list(_subjects(caught, cause, running)),
        evidence=list(_evidence(process, caught, cause, running)),
        explanation=EXPLANATION,
        fix=FIX,
    )


def _cause(caught: Caught | None) -> Frame | None:
    """The innermost C frame that is not part of aborting itself. Where that one has no name no other is blamed."""
    frames = caught.stack if caught else []
    aborting = [at for at, frame in enumerate(frames[:FEW]) if frame.function and c_name(frame) in ABORTING]
    cause = next(iter(frames[aborting[-1] + 1 if aborting else 0 :]), None)
    return cause if cause and cause.function else None


def _title(process: Process, cause: Frame | None, running: Frame | None, message: str | None) -> str:
    crash = _crash(process)
    how = f"the process died of {crash}" if crash else "the interpreter hit a fatal error"
    if message and message != f"signal {crash}":
        return f"{how}: {message}{f', as {place(running)} ran' if running else ''}"
    if cause:
        return f"{how} in {cause.function}{f', called from {place(running)}' if running else ''}"
    return f"{how} while {place(running)} ran" if running else f"{how}; where was not caught"


def _subjects(caught: Caught | None, cause: Frame | None, running: Frame | None) -> Iterator[Subject]:
    if caught:
        yield Subject(kind="exception", id=caught.id, name="fatal error")
    for frame in (running, cause):
        if frame:
            yield subject(frame)


def _evidence(
    process: Process, caught: Caught | None, cause: Frame | None, running: Frame | None
) -> Iterator[Evidence]:
    crash = _crash(process)
    if crash and process.exit:
        yield Evidence(text="the signal that ended the process", value=f"{crash} ({process.exit.signal})")
    if caught and caught.message:
        yield Evidence(text="what was said of it", value=caught.message)
    yield from evidence(cause, "the innermost C function that is not part of aborting itself")
    yield from evidence(running, "the Python code that was running")
