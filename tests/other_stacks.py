"""C stacks as gdb and drgn see them, to compare ours with: frames that are in memory, without the inlined ones."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness import PATIENCE
from lastwords.capture.architectures import Registers
from lastwords.capture.memory import Memory, ReadError
from lastwords.native.images import NativeImage

Place = tuple[int, int]  # pc, sp
MARK = "stacks: "
SCRIPT = Path(__file__).with_name("gdb_frames.py")
SETTINGS = ("set pagination off", "set debuginfod enabled off", "set auto-load off", "set backtrace past-main on")
# struct pt_regs of arch/x86/include/uapi/asm/ptrace.h, which drgn takes registers from: NT_PRSTATUS has the same order
PT_REGS = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di", "orig_ax", "ip",
    "cs", "flags", "sp", "ss",
)  # fmt: skip


def read_gdb_stacks(pid: int) -> dict[int, list[tuple[int, int, str | None]]]:
    """For each thread of a live process (pc, sp, function), innermost first."""
    words = ["gdb", "-nx", "-batch"]
    for command in (*SETTINGS, f"attach {pid}", f"source {SCRIPT}"):
        words += ["-ex", command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd="/")
    line = next((one for one in done.stdout.splitlines() if one.startswith(MARK)), None)
    assert line is not None, done.stdout + done.stderr
    stacks = json.loads(line.removeprefix(MARK))
    return {int(tid): [(pc, sp, name) for pc, sp, name in frames] for tid, frames in stacks.items()}


class DrgnStacks:
    """drgn's own unwinder over our memory and images."""

    def __init__(self, memory: Memory, images: Sequence[NativeImage]) -> None:
        import drgn  # noqa: PLC0415 - tests without it skip

        self._drgn = drgn
        self._memory = memory
        self._program = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
        self._program.set_enabled_debug_info_finders([])
        self._program.add_memory_segment(0, 1 << 63, self._read, False)
        for image in images:
            if image.tables is not None and image.file is not None and image.path.startswith("/"):
                module = self._program.extra_module(image.path, image.start, create=True)
                module.address_range = (image.start, image.end)
                module.try_file(image.file.name)
        word = self._program.int_type("unsigned long", 8, False)
        members = [drgn.TypeMember(word, name, at * 64) for at, name in enumerate(PT_REGS)]
        self._registers = self._program.struct_type("pt_regs", len(PT_REGS) * 8, members)

    def _read(self, address: int, size: int, _offset: int, _physical: bool) -> bytes:
        try:
            return self._memory.read(address, size)
        except ReadError:
            raise self._drgn.FaultError("not there", address) from None

    def read(self, registers: Registers) -> list[Place]:
        """(pc, sp) of each frame, innermost first."""
        data = struct.pack(f"<{len(PT_REGS)}Q", *list(registers.values())[: len(PT_REGS)])
        trace = self._program.stack_trace(self._drgn.Object.from_bytes_(self._program, self._registers, data))
        return [place for frame in trace if not frame.is_inline and (place := _place(frame))]


def _place(frame: object) -> Place | None:
    try:
        return frame.pc, frame.sp  # type: ignore[attr-defined]
    except LookupError:  # behind the outermost frame, or where drgn gave up
        return None
