"""C stacks of every interpreter: the same frames as gdb's and drgn's, with names and lines where they are to be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dumps import gdb_core
from harness import Target, wait_until_at_rest
from interpreters import Interpreter
from lastwords.capture.captured import Captured
from lastwords.capture.core.corefile import open_core
from lastwords.capture.stop.live import capture_process
from lastwords.native import drgn_lines, names
from lastwords.native.images import list_images
from lastwords.native.unwind import NativeStack, open_unwinder
from needs import need
from other_stacks import DrgnStacks, read_gdb_stacks

Start = Callable[..., Target]
THREADS = 9  # seven that wait in C that was called from Python, the main one, and one that knows no Python


@pytest.fixture
def waiting(interpreter: Interpreter, start_target: Start) -> Target:
    """The target, when all its threads sleep."""
    need(interpreter.has("ctypes"), f"ctypes of {interpreter.name}")
    target = start_target(interpreter, "native_stacks.py")
    wait_until_at_rest(target.pid, threads=THREADS)
    return target


def capture(target: Target) -> Captured:
    return capture_process(target.pid, lambda *_: None, lambda *_: None)


def unwind(captured: Captured) -> dict[int, NativeStack]:
    unwinder = open_unwinder(captured.memory, list_images(captured), captured.architecture)
    return {thread.tid: unwinder.unwind(thread.registers) for thread in captured.threads}


def in_memory(stack: NativeStack) -> list[tuple[int, int]]:
    return [(frame.pc, frame.sp) for frame in stack.frames if not frame.inlined]


@pytest.mark.interpreters("!musl", extra=True)
def test_frames_are_those_of_gdb_and_drgn(waiting: Target) -> None:
    captured = capture(waiting)
    stacks = unwind(captured)
    assert {tid: stack.error for tid, stack in stacks.items()} == dict.fromkeys(stacks)
    gdb = read_gdb_stacks(waiting.pid)
    assert {tid: in_memory(stack) for tid, stack in stacks.items()} == {
        tid: [(pc, sp) for pc, sp, _ in frames] for tid, frames in gdb.items()
    }
    assert len(stacks) == THREADS
    drgn = DrgnStacks(captured.memory, list_images(captured))
    for thread in captured.threads:
        assert in_memory(stacks[thread.tid]) == drgn.read(thread.registers)
    assert not any(frame.guessed for stack in stacks.values() for frame in stack.frames)
    assert sum(frame.is_signal for stack in stacks.values() for frame in stack.frames) == 1


@pytest.mark.interpreters("musl", extra=True)
def test_frames_through_a_library_without_tables(waiting: Target) -> None:
    """musl has no unwind tables, so gdb's stacks end in it; ours are guessed, and reach where each thread began."""
    captured = capture(waiting)
    stacks = unwind(captured)
    assert {tid: stack.error for tid, stack in stacks.items()} == dict.fromkeys(stacks)
    (main,) = (stack for tid, stack in stacks.items() if tid == waiting.pid)
    starts = {stack.frames[-1].pc for stack in stacks.values() if stack is not main}
    assert len(starts) == 1
    names = {tid: [frame.function for frame in stack.frames] for tid, stack in stacks.items()}
    assert sum("_PyEval_EvalFrameDefault" in one for one in names.values()) == THREADS - 1
    for stack in stacks.values():
        assert [frame.guessed for frame in stack.frames] == [False] + [True] * (len(stack.frames) - 1)
        assert [frame.sp for frame in stack.frames] == sorted(frame.sp for frame in stack.frames)
    assert sum(frame.is_signal for stack in stacks.values() for frame in stack.frames) == 1


def test_names_and_lines(waiting: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """By DWARF where the interpreter has it; without drgn the same frames, named by symbols as far as these go."""
    captured = capture(waiting)
    with_drgn = unwind(captured)
    monkeypatch.setattr(drgn_lines, "_open_program", lambda: None)
    monkeypatch.setattr(names, "_known", {})
    without = unwind(captured)
    assert {tid: in_memory(stack) for tid, stack in without.items()} == {
        tid: in_memory(stack) for tid, stack in with_drgn.items()
    }
    assert not any(frame.inlined or frame.line for stack in without.values() for frame in stack.frames)
    for tid, stack in with_drgn.items():
        frames = [one for one in stack.frames if not one.inlined]
        for told, named in zip(frames, without[tid].frames, strict=True):
            assert (told.library, told.offset) == (named.library, named.offset)
            if told.line and named.function and "python" in Path(told.library or "").name:
                assert named.function.partition(".")[0] == told.function


@pytest.mark.interpreters("debug_symbols")
def test_inlined_functions_and_lines(waiting: Target) -> None:
    stacks = unwind(capture(waiting))
    frames = [frame for stack in stacks.values() for frame in stack.frames]
    assert any(frame.inlined for frame in frames)
    started = [frame for frame in frames if frame.function == "pythread_wrapper"]
    assert len(started) == THREADS - 2 or not started  # before 3.8 the thread begins in what it calls
    for frame in started:
        assert (frame.file, frame.column is not None) == ("Python/thread_pthread.h", True)
        assert frame.line
    callers = {frame.function for frame in frames if frame.file}
    assert {"list_sort_impl", "listsort", "list_sort"} & {name.partition(".")[0] for name in callers if name}


@pytest.mark.interpreters(minors=["2.7", "3.11"])
def test_a_core_has_the_same_stacks(waiting: Target, tmp_path: Path) -> None:
    live = unwind(capture(waiting))
    core = open_core(gdb_core(waiting.pid, tmp_path / "core"))
    captured = Captured(core.pid, core.memory, core.maps, core.threads, core.architecture, "core file")
    unwinder = open_unwinder(core.memory, list_images(captured, core.files), core.architecture)
    assert {thread.tid: unwinder.unwind(thread.registers) for thread in core.threads} == live
