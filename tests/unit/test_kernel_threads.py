"""What registers and /proc say of a thread: the system call it waits in, also one that the kernel has restarted."""

from __future__ import annotations

import struct

import pytest

from lastwords.capture.architectures import this_machine
from lastwords.capture.architectures.x86_64 import X86_64
from lastwords.capture.procfs import TaskCall
from lastwords.capture.stop.holding import RESTARTED, decode_registers
from lastwords.capture.stop.kernel_threads import find_still, name_by_arguments

WORDS = len(X86_64.registers)
FUTEX, POLL, NANOSLEEP = 202, 7, 230


def test_registers_have_their_names() -> None:
    registers = decode_registers(X86_64, struct.pack(f"<{WORDS}Q", *range(WORDS)))
    assert list(registers) == list(X86_64.registers)
    assert (registers["r15"], registers["orig_rax"], registers["fs_base"]) == (0, 15, 21)


def test_registers_of_another_architecture_are_none() -> None:
    assert decode_registers(X86_64, bytes(17 * 4)) == {}


@pytest.mark.parametrize(
    ("number", "result", "expected"),
    [
        (FUTEX, -512, FUTEX), (POLL, -516, POLL), (23, -514, 23), (202, -513, 202), (232, -4, 232),
        (FUTEX, 0, None), (0, 17, None), (FUTEX, -110, None), (-1, -512, None),
    ],
)  # fmt: skip
def test_a_thread_waits_in_a_call_that_was_interrupted_alone(number: int, result: int, expected: int | None) -> None:
    registers = {"orig_rax": number % (1 << 64), "rax": result % (1 << 64)}
    assert X86_64.pending_call(registers) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("b8ca0000000f05", FUTEX),
        ("b8ca0000004080f6800f05", FUTEX),  # glibc's __futex_abstimed_wait_common
        ("b8e60000000f05", NANOSLEEP),
        ("b8ca00000090909090900f05", None),
        ("4c895c24080f05", None),  # glibc 2.41's __syscall_cancel_arch
        ("b8ca0000000f0590", None),
    ],
)
def test_the_code_tells_which_call_was_restarted(code: str, expected: int | None) -> None:
    assert X86_64.restarted_call(bytes(16) + bytes.fromhex(code)) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0x7F00_0000_1000, 0x189, 0, 0x7F00_0000_2000, 0, 0xFFFF_FFFF), "futex"),
        ((0x7F00_0000_1000, 0x89, 0, 0x7F00_0000_2000, 0, 0xFFFF_FFFF), "futex"),
        ((0x7F00_0000_1000, 0x80, 0xFFFF_FFFF, 0x7F00_0000_2000, 0, 0), "futex"),  # musl's
        ((0x7F00_0000_1000, 0x80, 5000, 0, 0, 0), "poll"),
        ((0x7F00_0000_1000, 2, 5000, 0, 0, 0), "poll"),
        ((0x7F00_0000_1000, 0x89, 5000, 0, 0, 0), "poll"),
        ((1, 0, 0x7F00_0000_1000, 0, 0, 0), "clock_nanosleep"),
        ((0, 0, 60000, 0, 0, 0), None),  # poll of nothing, as it was used to sleep
        ((0x7F00_0000_1000, 0, 0x7F00_0000_1000, 0, 0, 0), None),  # nanosleep, or poll
        ((0x7F00_0000_1000, 0x7F00_0000_1000, 0, 0, 0, 0), None),  # nanosleep
    ],
)
def test_arguments_tell_where_they_can(arguments: tuple[int, ...], expected: str | None) -> None:
    assert name_by_arguments(arguments) == expected


def test_only_the_same_step_twice_is_standing_still() -> None:
    call, other = TaskCall(FUTEX, (1,) * 6, 2, 3), TaskCall(FUTEX, (9,) * 6, 2, 3)
    before = {1: (7, call), 2: (7, call), 3: (7, call), 4: (7, call)}
    after = {1: (7, call), 2: (8, call), 3: (7, other), 5: (7, call)}
    assert find_still(before, after) == {1}


def test_this_machine_has_the_calls_that_may_be_interrupted() -> None:
    known = set(this_machine().syscalls.values())
    assert known >= RESTARTED
