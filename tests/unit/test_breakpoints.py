"""Which bytes of a text are a breakpoint that a gdb has left, and taking one out of a live process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import running
from lastwords.capture import procfs
from lastwords.capture.breakpoints import (
    INT3,
    count_breakpoints,
    find_breakpoints,
    find_descendants,
    remove_breakpoints,
)

BEYOND_PID_MAX = (1 << 22) + 1


@pytest.mark.parametrize(
    ("text", "original", "offsets"),
    [
        (b"\x55\x48", b"\x55\x48", []),
        (b"\xcc\x48", b"\x55\x48", [0]),
        (b"\xcc\x48", b"\xcc\x48", []),  # the compiler's own
        (b"\x55\x49", b"\x55\x48", []),  # changed, but no breakpoint
        (b"\xcc\xcc", b"\x55", [0]),  # the file ends before the page does
    ],
)
def test_only_bytes_that_the_file_has_not_are_breakpoints(text: bytes, original: bytes, offsets: list[int]) -> None:
    assert find_breakpoints(text, original) == offsets


def test_a_breakpoint_is_taken_out_of_a_live_process() -> None:
    with running(["sh", "-c", "echo ready; read line; exit 7"]) as target:
        target.wait_for("ready")
        text = next(one for one in procfs.read_maps(target.pid) if "x" in one.permissions and one.inode)
        with Path(f"/proc/{target.pid}/mem").open("r+b", buffering=0) as memory:
            before = os.pread(memory.fileno(), 64, text.start)
            at = next(offset for offset, byte in enumerate(before) if byte != INT3)
            os.pwrite(memory.fileno(), bytes([INT3]), text.start + at)
            assert count_breakpoints(target.pid) == 1
            assert remove_breakpoints(target.pid) == 1
            assert os.pread(memory.fileno(), 64, text.start) == before
        assert remove_breakpoints(target.pid) == 0


def test_a_process_that_is_gone_has_none() -> None:
    assert remove_breakpoints(BEYOND_PID_MAX) == 0


def test_descendants_are_found_through_their_parents() -> None:
    with running(["sh", "-c", "sh -c 'echo ready; exec tail -f /dev/null' & wait"]) as target:
        target.wait_for("ready")
        assert len(find_descendants(target.pid)) == 2
