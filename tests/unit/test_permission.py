"""Why gdb may not trace the program, over recorded /proc roots: every reason in its words, the first one first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lastwords.capture.permission import explain_refusal, find_lost_right

OURS, PROGRAM = 100, 101
STATUS = """\
Name:\tpython
State:\t{state} (sleeping)
Pid:\t{pid}
PPid:\t100
TracerPid:\t{tracer}
Uid:\t{uid}\t{euid}\t{uid}\t{uid}
CapPrm:\t{capabilities:016x}
CapEff:\t{capabilities:016x}
Seccomp:\t{seccomp}
"""
PLAIN = {"state": "S", "tracer": 0, "uid": 1000, "euid": 1000, "capabilities": 0, "seccomp": 0}
SYS_PTRACE = 1 << 19


def record(root: Path, scope: int | None, ours: dict[str, object], program: dict[str, object] | None) -> Path:
    for pid, fields in ((OURS, ours), (PROGRAM, program)):
        if fields is not None:
            (root / str(pid)).mkdir()
            (root / str(pid) / "status").write_text(STATUS.format(pid=pid, **{**PLAIN, **fields}))
    if scope is not None:
        (root / "sys/kernel/yama").mkdir(parents=True)
        (root / "sys/kernel/yama/ptrace_scope").write_text(f"{scope}\n")
    return root


@pytest.mark.parametrize(
    ("scope", "ours", "program", "fact", "mend"),
    [
        (1, {}, {"tracer": 77}, "process 77 traces it already (TracerPid), and there can be one only", "-p 77"),
        (None, {}, {"state": "Z"}, "it is a zombie: it has ended and waits for its parent", "-p 100"),
        (2, {}, {}, "yama's ptrace_scope is 2: only CAP_SYS_PTRACE may trace", "sysctl kernel.yama.ptrace_scope=0"),
        (3, {}, {}, "yama's ptrace_scope is 3: nobody may trace", "reboot"),
        (3, {"capabilities": SYS_PTRACE}, {}, "yama's ptrace_scope is 3: nobody may trace", "reboot"),
        (None, {}, {"uid": 0, "euid": 0}, "it belongs to user 0, lastwords runs as user 1000", "sudo"),
        (None, {}, {"euid": 0}, "it belongs to user 1000, lastwords runs as user 1000", "sudo"),
        (None, {}, {"capabilities": 0x20}, "it has capabilities (0x20) that lastwords has not", "sudo"),
        (1, {"seccomp": 2}, {"seccomp": 2}, "a seccomp filter is on (Seccomp: 2)", "docker run --cap-add=SYS_PTRACE"),
        (1, {}, {}, "nothing in /proc says why; gdb said: ptrace: no.", "lastwords doctor"),
        (2, {"capabilities": SYS_PTRACE}, {}, "nothing in /proc says why; gdb said: ptrace: no.", "lastwords doctor"),
        (None, {}, None, "process 101 has ended", "lastwords doctor"),
    ],
)
def test_explain_refusal(
    tmp_path: Path, scope: int | None, ours: dict[str, object], program: dict[str, object] | None, fact: str, mend: str
) -> None:
    why = explain_refusal(PROGRAM, "ptrace: no.", record(tmp_path, scope, ours, program), OURS)
    assert why.fact.startswith(fact)
    assert mend in why.mend


def test_a_file_that_gives_rights_loses_them_under_gdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"")
    program.chmod(0o4755)
    owner = program.stat().st_uid
    status = tmp_path / "proc" / str(os.getpid()) / "status"
    status.parent.mkdir(parents=True)
    status.write_text(STATUS.format(pid=os.getpid(), **PLAIN))
    assert find_lost_right(str(program), tmp_path / "proc") is None  # it is ours: nothing is given
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert find_lost_right(str(program), tmp_path / "proc") == f"is set-user-ID {owner}"
    status.write_text(STATUS.format(pid=os.getpid(), **{**PLAIN, "capabilities": SYS_PTRACE}))
    assert find_lost_right(str(program), tmp_path / "proc") is None
    status.write_text(STATUS.format(pid=os.getpid(), **PLAIN))
    program.chmod(0o755)
    assert find_lost_right(str(program), tmp_path / "proc") is None
