"""What the diagnoses ask of a caught exception: where it was raised, which C code let it go, what ran meanwhile.

The C functions are CPython's own names (Python/errors.c, Python/ceval.c); compilers append `.lto_priv.0`,
`.isra.0` and the like to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from lastwords.model import Caught, Evidence, ExceptionValue, Frame, Report, Subject, ThreadingState

# The functions that print or swallow: the one after them on the stack is the one that had the exception.
FUNNELS = frozenset(
    [
        "PyErr_WriteUnraisable",
        "_PyErr_WriteUnraisableMsg",
        "PyErr_FormatUnraisable",
        "format_unraisable",
        "format_unraisable_v",
        "PyErr_Print",
        "PyErr_PrintEx",
        "_PyErr_Print",
        "_PyErr_PrintEx",
        "PyErr_Display",
        "_PyErr_Display",
        "PyErr_DisplayException",
        "_PyErr_DisplayException",
        "handle_thread_shutdown_exception",
    ]
)
EVALS = frozenset(
    [
        "_PyEval_EvalFrameDefault",
        "PyEval_EvalFrameEx",
        "PyEval_EvalFrame",
        "_PyEval_EvalFrame",
        "_PyEval_Vector",
        "PyEval_EvalCodeEx",
        "_PyEval_EvalCode",
        "_PyEval_EvalCodeWithName",
        "PyEval_EvalCode",
    ]
)


def type_name(exception: ExceptionValue | None) -> str:
    """The type's name, builtin ones without their module (2.7 calls it `exceptions`); "" if it was not read."""
    name = (exception.type if exception else None) or ""
    return name.removeprefix("builtins.").removeprefix("exceptions.")


def c_name(frame: Frame) -> str | None:
    """The C function as its source calls it, None for a frame without a name."""
    return frame.function.split("(")[0].split(".")[0] if frame.function else None


def _is_eval(frame: Frame) -> bool:
    return frame.kind == "python" or c_name(frame) in EVALS


def c_callers(caught: Caught) -> list[Frame]:
    """The C frames that had the exception, innermost first: after the functions that print, before any Python code.

    Empty where the stack was not read, or where Python code itself asked to print.
    """
    upto = next((at for at, frame in enumerate(caught.stack) if _is_eval(frame)), len(caught.stack))
    level = caught.stack[:upto]
    printing = [at for at, frame in enumerate(level) if c_name(frame) in FUNNELS]
    return level[printing[-1] + 1 :] if printing else level


def has_c_names(caught: Caught) -> bool:
    """Whether any of the C callers is known by name; a stripped interpreter shows none."""
    return any(frame.function for frame in c_callers(caught))


def traceback(caught: Caught) -> list[Frame]:
    """The exception's own frames, innermost first."""
    return caught.exception.traceback if caught.exception else []


def raised_at(caught: Caught) -> Frame | None:
    """The frame in which the exception was raised."""
    return next(iter(traceback(caught)), None)


def entered_at(caught: Caught) -> Frame | None:
    """The outermost frame that the exception left: what the interpreter or C code had called.

    Frames that C code adds by itself (`_ctypes/callbacks.c`) and 2.7's own loop over atexit callbacks are passed over.
    """
    frames = [frame for frame in traceback(caught) if not _is_made_up(frame)]
    return frames[-1] if frames else None


def _is_made_up(frame: Frame) -> bool:
    of_atexit = frame.function == "_run_exitfuncs" and is_of_module(frame, "atexit")
    return of_atexit or (frame.file or "").endswith((".c", ".pyx"))


def is_of_module(frame: Frame, module: str) -> bool:
    """Whether the frame's code is that module's own: by its globals' __name__ where that was read, else by its file."""
    if frame.module is not None:
        return frame.module == module
    path = PurePath(frame.file or "")
    return path.suffix == ".py" and path.with_suffix("").as_posix().endswith(f"/{module.replace('.', '/')}")


def place(frame: Frame | None) -> str:
    """`file.py:12`, as short as it can be clicked on; "an unknown place" if there is none."""
    if frame is None or not frame.file:
        return "an unknown place"
    return f"{PurePath(frame.file).name}:{frame.line}" if frame.line else PurePath(frame.file).name


def name_of(frame: Frame | None) -> str | None:
    """The function's qualified name where the version has one."""
    return (frame.qualname or frame.function) if frame else None


def summary(caught: Caught) -> str:
    """`ValueError at file.py:12`, as much of it as was read."""
    kind = type_name(caught.exception) or "an exception that could not be read"
    at = raised_at(caught)
    return f"{kind} at {place(at)}" if at else kind


def what_was_called(caught: Caught) -> str | None:
    """The name of what was running when the exception left it: from the traceback, else the object's own text."""
    return name_of(entered_at(caught)) or (caught.object.repr if caught.object else None)


def subjects(caught: Caught) -> list[Subject]:
    """The exception itself, where it was raised, and what had been called."""
    made = [Subject(kind="exception", id=caught.id, name=type_name(caught.exception) or "unknown")]
    seen: list[Frame] = []
    for frame in (raised_at(caught), entered_at(caught)):
        if frame and frame not in seen:
            seen.append(frame)
            made.append(subject(frame))
    return made


def subject(frame: Frame, kind: str = "function") -> Subject:
    """A frame as the subject of a finding."""
    return Subject(kind=kind, name=name_of(frame) or "unknown", file=frame.file, line=frame.line)


def evidence(frame: Frame | None, text: str) -> Iterator[Evidence]:
    """The fact `text`, with the frame's line; nothing if there is no frame."""
    if frame:
        yield Evidence(text=text, file=frame.file, line=frame.line, address=frame.address, value=frame.source)


def basic_evidence(caught: Caught) -> list[Evidence]:
    """What every finding about a caught exception rests on: where it was raised, left Python, and who dropped it."""
    at, entered, during = raised_at(caught), entered_at(caught), next(iter(caught.python_stack), None)
    found = list(evidence(at, f"{type_name(caught.exception) or 'an exception'} was raised here"))
    if entered is not at:
        found += evidence(entered, f"it left {name_of(entered)}, which has no Python caller to tell")
    if during and during != at:
        found += evidence(during, "this Python code was running when it was dropped")
    drop = next(iter(c_callers(caught)), None)
    if drop and drop.function:
        found += evidence(drop, f"the C function {drop.function} had it last")
    return found


def threading_state(report: Report, caught: Caught) -> ThreadingState | None:
    """What `threading` believed at the moment of this exception, if that was read."""
    if caught.moment is None:
        return None
    return next((state for state in report.threading if state.moment == caught.moment), None)
