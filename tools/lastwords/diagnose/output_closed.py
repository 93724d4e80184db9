"""`output-closed`: the last flush of stdout or stderr failed."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from lastwords.diagnose.c_functions import OUTPUT, find_dropper
from lastwords.diagnose.caught import (
    basic_evidence,
    c_callers,
    c_name,
    entered_at,
    is_dropper_nameless,
    name_of,
    place,
    raised_at,
    subjects,
    traceback,
    type_name,
)
from lastwords.model import Caught, Certainty, Evidence, Finding, Process, Report, Subject

CODE = "output-closed"

OUTPUT_ERRORS = frozenset({"OSError", "IOError", "BrokenPipeError", "ValueError"})
TEXT_FILES = frozenset({"_io.TextIOWrapper", "TextIOWrapper"})
STANDARD = (1, 2)
EXPLANATION = (
    "What a program prints is kept in a buffer, and the last of it is written when the interpreter ends. That write "
    "failed: the reader at the other end is gone, or the disk is full. The end of the output is lost, and from "
    "CPython 3.6 on the exit code becomes 120."
)
FIX = (
    "Flush while errors can still be handled, at the end of main: `sys.stdout.flush()` inside "
    "`try: ... except BrokenPipeError:`, and then point descriptor 1 at os.devnull with os.dup2, so that the "
    "interpreter's own flush succeeds."
)

OWN_EXPLANATION = (
    "The interpreter flushes sys.stdout when it ends. That is an object of the program's own here, whose flush() "
    "raised this exception. From CPython 3.6 on the exit code becomes 120."
)
OWN_FIX = (
    "Let flush() do nothing where there is nothing left to write to; or put the interpreter's own object back "
    "before the program ends (`sys.stdout = sys.__stdout__`)."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each failed last flush."""
    for caught in report.exceptions:
        certainty = _match(caught)
        if certainty:
            process = next((process for process in report.processes if process.id == caught.process), None)
            yield _finding(caught, certainty, process)


def _match(caught: Caught) -> Certainty | None:
    dropper = find_dropper(caught)
    if dropper and (dropper.kind == OUTPUT or dropper.certainty == "certain"):
        return dropper.certainty if dropper.kind == OUTPUT else None
    if _is_left_flush(caught):
        return "likely"
    if traceback(caught) or caught.phase == "running" or type_name(caught.exception) not in OUTPUT_ERRORS:
        return None
    if any(c_name(frame) == "file_dealloc" for frame in c_callers(caught)):
        return "likely"  # 2.7 closes its standard files as their last references go
    is_text = caught.object is not None and caught.object.type in TEXT_FILES
    return "likely" if is_text and is_dropper_nameless(caught) else None


def _is_left_flush(caught: Caught) -> bool:
    """Without the C function's name: at the end C code called a method flush(), and nothing else was running."""
    entered, is_late = entered_at(caught), caught.phase != "running" and not caught.python_stack
    is_flush = entered is not None and entered.function == "flush"
    return is_flush and is_late and caught.how == "unraisable" and is_dropper_nameless(caught)


def _finding(caught: Caught, certainty: Certainty, process: Process | None) -> Finding:
    kind, reason, flush = type_name(caught.exception), _reason(caught), raised_at(caught)
    what = f"{kind} at {place(flush)}, in {name_of(flush)}" if flush else f"{kind}{f' ({reason})' if reason else ''}"
    return Finding(
        code=CODE,
        title=f"the last flush of the program's output failed: {what}",
        certainty=certainty,
        process=caught.process,
        subjects=[*subjects(caught), *_descriptors(process)],
        evidence=[*basic_evidence(caught), *_evidence(caught, process)],
        explanation=OWN_EXPLANATION if flush else EXPLANATION,
        fix=OWN_FIX if flush else FIX,
    )


def _reason(caught: Caught) -> str | None:
    """The errno's name, from the exception's first argument."""
    first = caught.exception.args[0].repr if caught.exception and caught.exception.args else None
    return errno.errorcode.get(int(first)) if first and first.isdecimal() else None


def _descriptors(process: Process | None) -> Iterator[Subject]:
    for descriptor in process.fds if process else []:
        if descriptor.fd in STANDARD:
            yield Subject(kind="descriptor", name=f"fd {descriptor.fd}: {descriptor.target}")


def _evidence(caught: Caught, process: Process | None) -> Iterator[Evidence]:
    if caught.object and caught.object.repr:
        yield Evidence(text="the object that was flushed", value=caught.object.repr, address=caught.object.address)
    for subject in _descriptors(process):
        yield Evidence(text="a standard output of the process", value=subject.name)
    if process and process.exit and process.exit.code is not None:
        yield Evidence(text="the exit code", value=str(process.exit.code))
