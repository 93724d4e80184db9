"""What is said where lastwords and its target are in different containers, over a recorded /proc; children likewise.

Messages word for word: tests/golden/elsewhere_*.txt.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lastwords.capture.captured import KernelThread, Syscall
from lastwords.capture.kernel.facts import read_facts
from lastwords.capture.kernel.syscall_waits import describe_syscall_wait
from lastwords.capture.machine.namespaces import FIRST_PID_NAMESPACE, FIRST_USER_NAMESPACE
from lastwords.capture.memory import ProcessMemory
from lastwords.cli.failures import format_error
from lastwords.cpython import refusals
from lastwords.errors import LastwordsError

GOLDEN = Path(__file__).parents[1] / "golden"
PTRACE = 1 << 19
TARGET, CHILD, OTHER = 70, 71, 72


def write_status(proc: Path, pid: int, uid: int, ppid: int, inside: str, capabilities: int = 0) -> None:
    folder = proc / str(pid)
    (folder / "ns").mkdir(parents=True, exist_ok=True)
    (folder / "cmdline").write_bytes(f"/usr/bin/python\0app{pid}.py\0".encode())
    (folder / "status").write_text(
        f"Name:\tpython\nState:\tS\nTgid:\t{pid}\nPPid:\t{ppid}\nTracerPid:\t0\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"
        f"NSpid:\t{inside}\nNSpgid:\t{inside}\nCapPrm:\t0\nCapEff:\t{capabilities:x}\nCapBnd:\t{capabilities:x}\n"
    )
    (folder / "stat").write_text(f"{pid} (python) S {ppid} {pid} {pid} 0\n")
    (folder / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
    (folder / "maps").write_text("7f0000000000-7f0000001000 r-xp 00000000 00:27 5 /usr/bin/x\n")


def link_namespaces(proc: Path, pid: int, pids: str, users: str) -> None:
    for kind, value in (("pid", pids), ("user", users)):
        (proc / str(pid) / "ns" / kind).symlink_to(value)


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a process in a container, and us outside as root without CAP_SYS_PTRACE."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    write_status(tmp_path, 1, 0, 0, "1")
    write_status(tmp_path, os.getpid(), 0, 1, str(os.getpid()))
    write_status(tmp_path, TARGET, 1000, 1, f"{TARGET}\t1")
    write_status(tmp_path, CHILD, 1000, TARGET, f"{CHILD}\t9")
    (tmp_path / "self").symlink_to(str(os.getpid()))
    return tmp_path


@pytest.fixture
def contained(proc: Path) -> Callable[[bool], Path]:
    """contained(True): we are the first process of a container; contained(False): in one that ran before."""

    def make(is_first: bool) -> Path:
        write_status(proc, os.getpid(), 0, 1 if is_first else 0, str(os.getpid()))
        link_namespaces(proc, os.getpid(), "pid:[4026532999]", FIRST_USER_NAMESPACE)
        return proc

    return make


def compare(name: str, error: LastwordsError) -> None:
    text = "\n".join(format_error(error.fact, error.help)) + "\n"
    golden = GOLDEN / f"elsewhere_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def refuse(proc: Path) -> LastwordsError:
    return refusals.explain_refusal(TARGET, PermissionError(1, os.strerror(1)), proc)


def test_outside_the_number_that_it_has_inside_is_told(proc: Path) -> None:
    link_namespaces(proc, os.getpid(), FIRST_PID_NAMESPACE, FIRST_USER_NAMESPACE)
    compare("number_inside", refusals.explain_gone(9, proc))
    assert refusals.explain_gone(8, proc).help == "lastwords ps"


def test_a_container_of_our_own(contained: Callable[[bool], Path]) -> None:
    compare("not_joined", refusals.explain_gone(4711, contained(True)))


def test_one_that_was_joined(contained: Callable[[bool], Path]) -> None:
    compare("joined", refusals.explain_gone(4711, contained(False)))


def test_no_capability_in_a_container(contained: Callable[[bool], Path]) -> None:
    compare("no_capability", refuse(contained(False)))


def test_a_capability_that_reaches_root_alone(
    contained: Callable[[bool], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = contained(False)
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    write_status(proc, os.getpid(), 1001, 0, str(os.getpid()))
    compare("no_root", refuse(proc))


def test_no_capability_in_a_pod(contained: Callable[[bool], Path]) -> None:
    proc = contained(False)
    (proc / str(os.getpid()) / "cgroup").write_text(f"0::/kubepods/besteffort/pod1/{'0' * 64}\n")
    compare("no_capability_in_a_pod", refuse(proc))


def test_no_capability_on_a_machine(proc: Path) -> None:
    link_namespaces(proc, os.getpid(), FIRST_PID_NAMESPACE, FIRST_USER_NAMESPACE)
    assert refuse(proc).help == f"sudo lastwords attach {TARGET}"


def test_a_user_namespace_of_our_own(proc: Path) -> None:
    write_status(proc, os.getpid(), 0, 1, str(os.getpid()), PTRACE)
    link_namespaces(proc, os.getpid(), FIRST_PID_NAMESPACE, "user:[4026532998]")
    compare("user_namespace", refuse(proc))


def test_the_command_itself(monkeypatch: pytest.MonkeyPatch, proc: Path) -> None:
    refusals.refuse_ourselves(TARGET, proc)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(LastwordsError) as caught:
        refusals.refuse_ourselves(1, proc)
    compare("itself", caught.value)


# Children of a process in another pid namespace


def waits_for(proc: Path, name: str, *arguments: int) -> tuple[str, int | None]:
    call = Syscall(0, name, tuple(one & (1 << 64) - 1 for one in arguments) + (0,) * 6)
    found = describe_syscall_wait(
        KernelThread(TARGET, syscall=call), ProcessMemory(os.getpid()), read_facts(TARGET, proc)
    )
    assert found is not None
    return found.detail, found.pid


def test_a_child_has_our_number(proc: Path) -> None:
    name = f"process {CHILD} (python app{CHILD}.py), sleeping"
    assert waits_for(proc, "wait4", 9) == (f"waits for the end of {name}", CHILD)
    assert waits_for(proc, "waitid", 1, 9) == (f"waits for the end of {name}", CHILD)
    assert waits_for(proc, "wait4", CHILD) == (f"waits for the end of process {CHILD} of its own pid namespace", None)


def test_a_process_group_has_its_own_number(proc: Path) -> None:
    assert waits_for(proc, "wait4", -9)[1] == CHILD
    assert waits_for(proc, "wait4", -CHILD)[1] is None
    write_status(proc, CHILD, 1000, TARGET, f"{CHILD}\t1")  # the group of its parent
    assert waits_for(proc, "wait4", 0)[1] == CHILD
