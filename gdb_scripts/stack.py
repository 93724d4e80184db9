"""gdb: the C stack of the selected thread as data. Sourced before session.py, which asks for it.

Only libpython's symbols are read from the start (`auto-solib-add off`). A library whose symbols gdb has not read has
no unwind tables either, and the stack would end at it: so each library on the stack is loaded when it is first met.
"""

import re
from typing import Any, Dict

import gdb

MAX_FRAMES = 200
PRESERVED = ("rip", "rsp", "rbp", "rbx", "r12", "r13", "r14", "r15")  # what a stack is unwound from (System V ABI)
WORD = 0xFFFFFFFFFFFFFFFF
loaded: "set[tuple[int, str]]" = set()  # (inferior, library) whose symbols were read


def forget_loaded(inferior: int) -> None:
    """The inferior runs another program now: nothing of it has been read."""
    loaded.difference_update([key for key in loaded if key[0] == inferior])


def read_stack(inferior: int) -> Dict[str, Any]:
    """The frames of the selected thread, innermost first; `problem` says why they end early. And its registers."""
    while True:
        missing = find_unread_library(inferior)
        if missing is None:
            return {**read_frames(), "registers": read_registers()}
        loaded.add((inferior, missing))
        gdb.execute("sharedlibrary " + re.escape(missing), to_string=True)


def find_unread_library(inferior: int) -> "str | None":
    """The first library on the stack whose symbols (and unwind tables) gdb has not read yet."""
    frame: "gdb.Frame | None" = gdb.newest_frame()
    for _ in range(MAX_FRAMES):
        if frame is None:
            return None
        library = gdb.solib_name(frame.pc())
        if library and (inferior, library) not in loaded:
            return library
        frame = older(frame)
    return None


def read_registers() -> Dict[str, int]:
    """Those with which lastwords unwinds the stack by itself."""
    frame = gdb.newest_frame()
    return {name: int(frame.read_register(name)) & WORD for name in PRESERVED}


def older(frame: "gdb.Frame") -> "gdb.Frame | None":
    """The caller's frame, or None at the end and where gdb cannot unwind."""
    try:
        return frame.older()
    except gdb.error:
        return None


def read_frames() -> Dict[str, Any]:
    """The selected thread's frames as JSON; `problem` says why they end early."""
    frames: "list[Dict[str, Any]]" = []
    frame: "gdb.Frame | None" = gdb.newest_frame()
    problem = None
    while frame is not None and len(frames) < MAX_FRAMES:
        frames.append(describe_frame(frame))
        reason = frame.unwind_stop_reason()
        if reason not in (gdb.FRAME_UNWIND_NO_REASON, gdb.FRAME_UNWIND_OUTERMOST):
            problem = gdb.frame_stop_reason_string(reason)
        frame = older(frame)
    return {"frames": frames, "problem": problem}


def describe_frame(frame: "gdb.Frame") -> Dict[str, Any]:
    """One frame: names as gdb has them, None where it has not."""
    sal = frame.find_sal()
    return {
        "function": frame.name(),
        "file": sal.symtab.filename if sal.symtab else None,
        "line": sal.line if sal.symtab else None,
        "library": gdb.solib_name(frame.pc()) or (program_name() if frame.name() else None),
        "address": frame.pc(),
        "inlined": frame.type() == gdb.INLINE_FRAME,
        "arguments": describe_arguments(frame),
    }


def program_name() -> "str | None":
    """The executable of the selected inferior: what code without a library belongs to."""
    space = gdb.current_progspace()
    return space.filename if space is not None else None


def describe_arguments(frame: "gdb.Frame") -> "str | None":
    """The function's arguments as `name=value`, scalars and pointers only."""
    try:
        symbols = [symbol for symbol in (frame.function().symtab and frame.block()) or () if symbol.is_argument]
        return ", ".join(describe_argument(frame, symbol) for symbol in symbols)
    except (gdb.error, RuntimeError, AttributeError):
        return None  # no debug information for this frame


def describe_argument(frame: "gdb.Frame", symbol: "gdb.Symbol") -> str:
    """`name=value` of one argument."""
    try:
        text = symbol.value(frame).format_string(
            raw=True, symbols=False, deref_refs=False, max_elements=60, max_depth=0, address=False
        )
    except (gdb.error, UnicodeError):
        text = "<unreadable>"
    return "{}={}".format(symbol.name, text)
