"""Who the threads are: what each says of itself from inside is what is read from outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from environments import Environment
from harness import TARGETS, Target, running, wait_until, wait_until_at_rest
from interpreters import Interpreter as Python
from lastwords import cpython
from lastwords.capture import procfs
from lastwords.capture.captured import KernelThread
from lastwords.cpython.frame import read_frame_at
from lastwords.cpython.modules import find_global
from lastwords.cpython.threads import PythonThread, read_threads

Start = Callable[..., Target]
OUTSIDE = 1 << 23  # above all tids
pytestmark = pytest.mark.interpreters("!free_threaded", "ctypes")


class Told(NamedTuple):
    """A target, and what its threads said: `new` is the PyThreadState that has no thread yet."""

    target: Target
    threads: dict[int, dict[str, Any]]
    new: int | None

    def read(self, kernel: Sequence[KernelThread] | None = None) -> list[PythonThread]:
        """The threads as they are read, by ident."""
        kernel = kernel if kernel is not None else self.kernel_threads()
        return read_threads(cpython.open_process(self.target.pid), kernel)

    def kernel_threads(self) -> list[KernelThread]:
        """As /proc shows them: with tids alone."""
        return [KernelThread(tid=tid) for tid in procfs.read_tasks(self.target.pid)]

    def ident_of(self, kind: str) -> int:
        return next(ident for ident, facts in self.threads.items() if facts["kind"] == kind)


@pytest.fixture
def told(interpreter: Python, start_target: Start) -> Told:
    target = start_target(interpreter, "reader_threads.py")
    facts = json.loads(target.wait_for("facts ").removeprefix("facts "))
    new = facts.pop("new", None)
    main = f"task/{target.pid}/syscall"
    wait_until(lambda: procfs.read_text(target.pid, main).startswith("0 "), "the main thread waits in read()")
    wait_until_at_rest(target.pid)
    told = Told(target, {int(ident): one for ident, one in facts.items()}, new)
    gone = told.threads[told.ident_of("vanishes")]["tid"]
    wait_until(lambda: gone not in procfs.read_tasks(target.pid), "one thread has ended")
    return told


def test_threads_are_who_they_say_they_are(told: Told) -> None:
    seen = {thread.ident: thread for thread in told.read()}
    assert seen.keys() - {0} == told.threads.keys()
    for ident, facts in told.threads.items():
        is_there = facts["kind"] != "vanishes"
        assert (seen[ident].tid == facts["tid"]) is is_there
        assert seen[ident].alive is is_there
        assert seen[ident].is_main is (facts["kind"] == "main")
        assert seen[ident].interpreter == 0
        assert seen[ident].error is None
        if facts["kind"] != "leaves":
            assert (seen[ident].name, seen[ident].daemon) == (facts["name"], facts["daemon"])
            assert (seen[ident].thread_object is None) is (facts["name"] is None)


def test_a_stopped_threads_register_says_who_it_is(told: Told) -> None:
    """Where idents are known, they alone count: two threads have changed their tids here."""
    living = [ident for ident, facts in told.threads.items() if facts["kind"] != "vanishes"]
    kernel = [KernelThread(tid=told.threads[ident]["tid"], ident=ident) for ident in living]
    swapped = [
        KernelThread(tid=kernel[1].tid, ident=kernel[0].ident),
        KernelThread(kernel[0].tid, ident=kernel[1].ident),
    ]
    seen = {thread.ident: thread.tid for thread in told.read([*swapped, *kernel[2:]])}
    assert (seen[living[0]], seen[living[1]]) == (kernel[1].tid, kernel[0].tid)
    assert seen[told.ident_of("vanishes")] is None
    assert {(thread.tid, thread.kernel, thread.alive) for thread in told.read([])} == {(None, None, None)}


def test_in_a_container_threads_have_the_tids_that_they_have_out_here(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPython and the C library note the tids that they have inside; /proc out here has others."""
    status = procfs.read_status(told.target.pid)
    outside = {tid + OUTSIDE: tid for tid in procfs.read_tasks(told.target.pid)}

    def read_status(pid: int, proc: Path = procfs.PROC) -> procfs.Status:
        return replace(status, ns_pids=(pid, outside.get(pid, 1)))

    monkeypatch.setattr(procfs, "read_status", read_status)
    seen = {thread.ident: thread.tid for thread in told.read([KernelThread(tid=tid) for tid in outside])}
    for ident, facts in told.threads.items():
        assert seen[ident] == (facts["tid"] + OUTSIDE if facts["kind"] != "vanishes" else None)


def test_a_thread_that_has_left_its_function_says_so(told: Told, interpreter: Python) -> None:
    seen = {thread.ident: thread for thread in told.read()}
    leaving = seen[told.ident_of("leaves")]
    expected = None if interpreter.minor == "2.7" else True  # it has no certain sign of it
    assert (leaving.finishing, leaving.name, leaving.thread_object) == (expected, None, None)
    for ident, facts in told.threads.items():
        if facts["kind"] in ("main", "thread"):
            assert seen[ident].finishing is False
        if facts["kind"] == "raw":
            assert seen[ident].finishing is None


def test_a_thread_that_has_not_begun_is_nobody_yet(told: Told) -> None:
    assert told.new is not None
    new = next(thread for thread in told.read() if thread.tstate == told.new)
    assert (new.ident, new.tid, new.kernel, new.name, new.places) == (0, None, None, None, [])
    assert (new.is_main, new.alive) == (False, None)


@pytest.fixture(params=["api", "module"])
def inside(request: pytest.FixtureRequest, interpreter: Python, start_target: Start) -> tuple[Target, dict[str, Any]]:
    """A target with a second interpreter, and what that says of itself."""
    if request.param == "module" and interpreter.minor in ("2.7", "3.6", "3.7"):
        pytest.skip("this release has no module that makes interpreters")
    target = start_target(interpreter, "reader_interpreters.py", request.param)
    return target, json.loads(target.wait_for("facts ").removeprefix("facts "))


def read_second(pid: int) -> tuple[cpython.Interpreter, list[PythonThread]]:
    """All threads, once the one that entered the second interpreter blocks there."""
    found: list[PythonThread] = []

    def blocks() -> bool:
        wait_until_at_rest(pid)
        found[:] = read_threads(cpython.open_process(pid), [KernelThread(tid=tid) for tid in procfs.read_tasks(pid)])
        return any(len(thread.places) == 2 for thread in found if thread.interpreter == 1)

    wait_until(blocks, "a thread blocks in the second interpreter")
    return cpython.open_process(pid), found


def test_each_interpreter_has_its_own_threads_and_modules(inside: tuple[Target, dict[str, Any]]) -> None:
    target, facts = inside
    interp, threads = read_second(target.pid)
    first = {thread.name: thread for thread in threads if thread.interpreter == 0}
    second = {thread.name: thread for thread in threads if thread.interpreter == 1}
    own = second[facts["name"]]  # MainThread until 3.12, Dummy-1 later
    assert (set(first), set(second)) == ({"MainThread", "enters"}, {facts["name"], "inside"})
    assert (own.ident, second["inside"].ident) == (facts["own"], facts["thread"])
    assert (first["enters"].ident, first["enters"].tid) == (own.ident, own.tid), "one thread, a state in each"
    assert len({thread.tid for thread in threads} - {None}) == 3
    assert [thread for thread in threads if thread.is_main] == [first["MainThread"]]
    assert [read_frame_at(interp, place).function for place in own.places] == ["block", "<module>"]
    inner, _ = interp.interpreters()
    assert cpython.read_modules(interp, inner) == facts["modules"]
    assert find_global(interp, "__main__", "INSIDE") is not None
    assert find_global(interp, "__main__", "INSIDE", inner) is None
    assert find_global(interp, "__main__", "facts", inner) is not None


def test_under_gevent_the_main_thread_keeps_its_name(gevent_environment: Environment) -> None:
    """`threading._active` has greenlets for keys there."""
    command: list[str | Path] = [gevent_environment.python, TARGETS / "reader_greenlets.py", "spawned"]
    with running(command, env=gevent_environment.env) as target:
        target.wait_for("ready")
        threads = read_threads(
            cpython.open_process(target.pid), [KernelThread(tid=tid) for tid in procfs.read_tasks(target.pid)]
        )
    main = next(thread for thread in threads if thread.tid == target.pid)
    assert (main.name, main.daemon, main.is_main, main.finishing) == ("MainThread", False, True, False)
    assert all(thread.thread_object is None for thread in threads if thread is not main)
