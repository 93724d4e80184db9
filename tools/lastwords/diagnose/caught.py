"""What the diagnoses ask of a caught exception: where it was raised, which C code let it go, what ran meanwhile.

The C functions are CPython's own names (Python/errors.c, Python/ceval.c); compilers append `.lto_priv.0`,
`.isra.0` and the like to them.
"""

from __future__ import annotations

import re
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
        "__Pyx_WriteUnraisable",  # of modules made by Cython
        "_my_PyErr_WriteUnraisable",  # of cffi
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


PACKAGES = frozenset({"__init__.py", "__main__.py"})  # files whose names say nothing without the directory's
TEXT_LIMIT = 80
# What an object is called, in its own words: `<function compare at 0x7f4e0f4dd550>`.
_NAMED = re.compile(r"<(?:function|generator object|coroutine object|async_generator object) (\S+) at 0x[0-9a-f]+>")


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


def is_dropper_nameless(caught: Caught) -> bool:
    """Whether the C function that had it last has no name: a stripped interpreter has those of a few further out."""
    return not any(frame.function for frame in c_callers(caught)[:1])


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


def is_of_weakref_finalize(caught: Caught) -> bool:
    """`finalize._exitfunc` prints what its callbacks raise; otherwise they run inside `finalize.__call__`."""
    printing, entered = next(iter(caught.python_stack), None), entered_at(caught)
    at_exit = printing and printing.function == "_exitfunc" and is_of_module(printing, "weakref")
    called = entered and entered.function == "__call__" and is_of_module(entered, "weakref")
    return caught.how in ("printed", "unraisable") and bool(at_exit or called)


def place(frame: Frame | None) -> str:
    """`file.py:12`, as short as it can be clicked on; "an unknown place" if there is none."""
    if frame is None or not frame.file:
        return "an unknown place"
    path = PurePath(frame.file)
    name = "/".join(path.parts[-2:]) if path.name in PACKAGES else path.name
    return f"{name}:{frame.line}" if frame.line else name


def name_of(frame: Frame | None) -> str | None:
    """The function's qualified name where the version has one."""
    return (frame.qualname or frame.function) if frame else None


def summary(caught: Caught) -> str:
    """`ValueError at file.py:12`, as much of it as was read; what it says where C code raised it, at no line."""
    kind = type_name(caught.exception) or "an exception that could not be read"
    at, said = raised_at(caught), caught.exception.value if caught.exception else None
    if at:
        return f"{kind} at {place(at)}"
    return f"{kind} ({said[:TEXT_LIMIT]}{'...' * (len(said) > TEXT_LIMIT)})" if said else kind


def what_was_called(caught: Caught) -> str | None:
    """The name of what was running when the exception left it: from the traceback, else the object's own text."""
    return name_of(entered_at(caught)) or object_name(caught)


def object_name(caught: Caught) -> str | None:
    """What the object that the message names is called; a function and a generator by the function's name."""
    text = caught.object.repr if caught.object else None
    named = _NAMED.fullmatch(text or "")
    return named[1] if named else text


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
