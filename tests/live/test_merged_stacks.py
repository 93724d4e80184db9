"""C and Python frames as one stack: gdb's C frames, with the target's own Python frames where C code ran them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import lastwords
from gdb_stacks import LOOPS, GdbFrame, build_extension, find_loop, gdb_outline, outline, read_gdb_stacks
from harness import Target, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture.architectures import Registers
from lastwords.examine import process
from lastwords.examine.stacks import open_stacks
from lastwords.frames import python_frames
from lastwords.model import Frame, Report
from lastwords.native.merge import base_name
from lastwords.native.unwind import NativeStack, Overlay, Unwinder
from lastwords.report.text import format_report

Start = Callable[..., Target]
Change = Callable[[NativeStack], NativeStack]
KINDS = 18  # at least, whatever the release


@pytest.fixture
def calling(interpreter: Interpreter, start_target: Start, tmp_path: Path) -> Target:
    """The target, when all of its threads wait."""
    target = start_target(interpreter, "calls_through_c.py", *build_extension(interpreter, tmp_path))
    wait_until_at_rest(target.pid)
    return target


@pytest.mark.interpreters("ctypes", "!musl", extra=True)
def test_gdbs_frames_and_the_targets(
    calling: Target, interpreter: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = lastwords.attach(calling.pid)
    stacks = read_gdb_stacks(calling.pid, tmp_path)
    assert {thread.tid for thread in report.threads} == set(stacks)
    assert len(report.threads) > KINDS
    for thread in report.threads:
        assert thread.error is None, thread.name
        assert thread.native_stack is None
        gdb = stacks[thread.tid or 0]
        assert outline(thread.stack) == gdb_outline(gdb, thread.stack), thread.name
        assert_same_names(thread.stack, gdb, interpreter)
    check_python_frames(report, calling)
    check_text(report, interpreter)
    check_torn(calling.pid, report, monkeypatch)
    check_misfits(calling.pid, report, monkeypatch)


@pytest.mark.interpreters("ctypes", "musl", extra=True)
def test_where_the_c_library_has_no_unwind_tables(calling: Target) -> None:
    """gdb loses its way there, and we may: then what is proven is merged, and all C frames are shown beside it."""
    report = lastwords.attach(calling.pid)
    check_python_frames(report, calling)
    wrong = [thread for thread in report.threads if thread.error]
    assert len(wrong) <= 1  # in a callback of qsort
    for thread in wrong:
        assert "guesses that do not fit" in (thread.error or "")
        assert thread.native_stack
        assert thread.stack[0].kind == "native"


def assert_same_names(frames: list[Frame], gdb: list[GdbFrame], interpreter: Interpreter) -> None:
    """What both have a name for has the same: the C library's functions have several each."""
    loop = find_loop(gdb)
    if interpreter.has("debug_symbols"):
        ours = [(one.address, name) for one in frames if (name := own_name(one))]
        theirs = [(pc, base_name(name)) for pc, name, _ in gdb if base_name(name) != loop]
        addresses = {address for address, _ in ours}
        assert ours == [(pc, name) for pc, name in theirs if pc in addresses]
        return
    names = {pc: base_name(name) for pc, name, inlined in gdb if name and not inlined}
    for frame in frames:
        name = own_name(frame)
        if name and not frame.inlined and frame.address in names:
            assert name == names[frame.address]


def own_name(frame: Frame) -> str:
    """The function's name; none for what is Python's or in a library with names of its own for all."""
    is_libc = Path(frame.library or "").name.startswith(("libc", "libpthread", "ld-", "libffi"))
    return "" if frame.kind == "python" or is_libc else base_name(frame.function)


def check_python_frames(report: Report, target: Target) -> None:
    """All that the target told of itself; the line of `block` was another one then."""
    known = json.loads(target.wait_for("frames ").removeprefix("frames "))
    told = {name: [tuple(frame) for frame in frames] for name, frames in known.items()}
    for thread in report.threads:
        if not thread.is_main:
            name = thread.name if thread.name in told else "from C"
            expected = told.pop(name)
            found = [(frame.function, frame.line) for frame in python_frames(thread.stack)]
            assert [function for function, _ in found] == [function for function, _ in expected]
            assert found[1:] == expected[1:]
    assert told == {}


VISIBLE = {
    "ctypes_callback": {"__qsort_r", "qsort_r"},
    "key_of_sorted": {"list_sort", "listsort"},
    "reduced": {"functools_reduce", "builtin_reduce"},
    "replaced": {"_sre_SRE_Pattern_sub", "pattern_sub"},
    "summed": {"builtin_sum"},
    "mapped_and_filtered": {"filter_next", "builtin_filter"},
    "by_extension": {"call_deeper"},
}


def check_text(report: Report, interpreter: Interpreter) -> None:
    """Who called Python is visible, and hardly anything else; --native=all has every frame, "none" has none."""
    for thread in report.threads:
        shown = [frame for frame in thread.stack if frame.kind == "native" and not frame.plumbing]
        if interpreter.has("symbols") and thread.name in VISIBLE:
            assert VISIBLE[thread.name] & {frame.function for frame in shown}, thread.name
        assert len(shown) <= (14 if thread.name == "by_extension" else 7), [frame.function for frame in shown]
    text = {native: list(format_report(report, details=True, native=native)) for native in ("fold", "all", "none")}
    count = {native: sum(line.startswith("    C: ") for line in lines) for native, lines in text.items()}
    frames = [frame for thread in report.threads for frame in thread.stack if frame.kind == "native"]
    assert count == {"fold": sum(not frame.plumbing for frame in frames), "all": len(frames), "none": 0}
    assert any(line.startswith(f"Without {count['all'] - count['fold']} C frames") for line in text["fold"])


class Changed:
    """An unwinder whose stacks are changed before they are merged."""

    def __init__(self, inner: Unwinder, change: Change) -> None:
        self.inner, self.change = inner, change

    def unwind(self, registers: Registers, *, stop: int | None = None, overlay: Overlay = ()) -> NativeStack:
        return self.change(self.inner.unwind(registers, stop=stop, overlay=overlay))


def attach_changed(pid: int, change: Change, monkeypatch: pytest.MonkeyPatch) -> Report:
    with monkeypatch.context() as patched:
        patched.setattr(process, "open_stacks", lambda source, proc: Changed(open_stacks(source, proc=proc), change))
        return lastwords.attach(pid)


def check_torn(pid: int, whole: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the C frames: the inner part as before, then Python frames alone, and why."""
    report = attach_changed(pid, lambda stack: NativeStack(stack.frames[: len(stack.frames) // 2], "torn"), monkeypatch)
    for thread, before in zip(report.threads, whole.threads, strict=True):
        assert thread.native_stack is None
        assert (thread.error or "").startswith("torn")
        assert describe(python_frames(thread.stack)) == describe(python_frames(before.stack))
        last = max(at for at, frame in enumerate(thread.stack) if frame.kind == "native")
        assert describe(thread.stack[:last]) == describe(before.stack[:last])  # the last may be a loop without a name
        assert last >= len(before.stack) // 4


def check_misfits(pid: int, whole: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """C frames that are nobody's: both stacks are kept."""

    def change(stack: NativeStack) -> NativeStack:
        others = [frame for frame in stack.frames if base_name(frame.function) not in LOOPS]
        return NativeStack([replace(frame, sp=frame.sp + (1 << 32)) for frame in others])

    for thread, before in zip(attach_changed(pid, change, monkeypatch).threads, whole.threads, strict=True):
        assert describe(thread.stack) == describe(python_frames(before.stack))
        assert "do not fit" in (thread.error or "")
        own = [frame for frame in before.stack if frame.kind == "native"]
        assert [frame.address for frame in thread.native_stack or [] if frame.address in {one.address for one in own}]


def describe(frames: list[Frame]) -> list[tuple[str, str | None, int | None, int | None]]:
    return [(frame.kind, frame.function, frame.line, frame.address) for frame in frames]
