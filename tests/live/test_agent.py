"""What the agent tells of a program, on every interpreter: read from its records, not from what the program prints."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from environments import Environment
from harness import TARGETS
from interpreters import Interpreter
from lastwords.capture.agent import SILENT, Channel, add_to
from lastwords.capture.agent_records import Said
from lastwords.diagnose import callback_failed
from lastwords.model import Caught, Frame, Process, Report, Tool, TraceCall


@contextmanager
def spoken(environment: Environment, *arguments: str, cwd: Path | None = None) -> Iterator[tuple[Said, int]]:
    """Run a target to its end; what the agent in it said, and the exit code."""
    with Channel() as channel:
        done = subprocess.run(
            [str(environment.python), *arguments],
            env=channel.environ(os.environ | environment.env),
            pass_fds=channel.fds,
            cwd=cwd,
            capture_output=True,
            timeout=60,
            check=False,
        )
        yield channel.read(), done.returncode


def names(frames: list[Frame]) -> list[str | None]:
    return [frame.function for frame in frames]


def every(calls: list[TraceCall]) -> Iterator[TraceCall]:
    for call in calls:
        yield call
        yield from every(call.calls)


def test_who_imported_threading_first_and_where_the_patch_came(gevent_environment: Environment) -> None:
    program = str(TARGETS / "investigation_original.py")
    with spoken(gevent_environment, program) as (said, _):
        watched = {one.module: one for one in said.imports.watched}
        patch = next(one for one in said.imports.patches if one.module == "threading")
        first = watched["threading"].first_importer
        assert [(frame.module, frame.file, frame.line) for frame in first] == [("__main__", program, 3)]
        assert first[0].source == "import threading"
        assert watched["threading"].order < patch.order
        assert (patch.at[-1].file, patch.at[-1].source) == (program, "gevent.monkey.patch_thread()")
        assert "Lock" in patch.attributes
        assert patch.thread is not None
        assert patch.at[0].module is not None
        assert patch.at[0].module.startswith("gevent.monkey")
        assert not said.problems


def test_imports_by_gevent_after_the_patch_are_told_as_such(gevent_environment: Environment) -> None:
    with spoken(gevent_environment, str(TARGETS / "agent_ordered.py")) as (said, code):
        assert code == 0
        watched = {one.module: one for one in said.imports.watched}
        first = [frame.module or "" for frame in watched["threading"].first_importer]
        assert any(module.startswith("gevent") for module in first)
        assert {"socket", "threading", "time"} <= {patch.module for patch in said.imports.patches}


def test_exceptions_of_threads_once_each_without_asking_them(gevent_environment: Environment) -> None:
    with spoken(gevent_environment, str(TARGETS / "agent_errors.py")) as (said, code):
        assert code == 0
        first, second = said.exceptions
        assert (first.how, first.count, first.phase) == ("thread", 1, "running")
        assert "'one'" in _repr(first)
        assert first.exception is not None
        assert (first.exception.type, first.exception.value) == ("ValueError", "x")
        assert names(first.exception.traceback)[0] == "fails"
        assert first.exception.traceback[0].source == "raise error"
        assert second.exception is not None
        assert (second.exception.type, second.exception.value) == ("__main__.Loud", "7, 'text'")


def _repr(caught: Caught) -> str:
    assert caught.object is not None
    return caught.object.repr or ""


@pytest.mark.interpreters(minors=("3.6", "3.11", "3.13"))
def test_the_context_of_an_exception_comes_with_it(gevent_environment: Environment) -> None:
    with spoken(gevent_environment, str(TARGETS / "agent_errors.py")) as (said, _):
        exception = said.exceptions[0].exception
        assert exception is not None
        assert exception.context is not None
        assert (exception.context.type, exception.context.value) == ("KeyError", "'inner'")
        assert exception.context.traceback[0].source == 'raise KeyError("inner")'


def test_exceptions_of_greenlets(gevent_environment: Environment) -> None:
    with spoken(gevent_environment, str(TARGETS / "agent_greenlet.py")) as (said, code):
        assert code == 0
        (caught,) = said.exceptions
        assert caught.how == "greenlet"
        assert caught.exception is not None
        assert (caught.exception.type, caught.exception.value) == ("ValueError", "in a greenlet")
        assert names(caught.exception.traceback)[0] == "fails"
        assert caught.object is not None
        assert caught.object.address


def test_exceptions_of_what_the_hub_calls(gevent_environment: Environment) -> None:
    program = (
        "import gevent\n"
        "def fails():\n"
        "    raise ValueError('in a callback')\n"
        "def gives_way():\n"
        "    gevent.sleep(0.001)\n"
        "gevent.get_hub().loop.run_callback(fails)\n"
        "gives_way()\n"
    )
    with spoken(gevent_environment, "-c", program) as (said, code):
        assert code == 0
        (caught,) = said.exceptions
        assert caught.how == "hub"
        assert names(caught.exception.traceback if caught.exception else []) == ["fails"]
        assert names(caught.python_stack)[-2:] == ["gives_way", "<module>"]
        report = Report(tool=Tool(version="0"), mode="run", captured_at="", exceptions=[caught])
        (finding,) = callback_failed.diagnose(report)
        assert finding.title.startswith("a callback of gevent's hub, fails, raised ValueError")
        assert [one.line for one in finding.subjects[1:]] == [3, 5]


def test_the_shutdown_is_traced_with_what_it_waited_for(
    interpreter: Interpreter, gevent_environment: Environment
) -> None:
    program = (
        "import threading, time\n"
        "main = threading.current_thread()\n"
        "def work():\n"
        "    looks = [0]\n"
        "    while main.is_alive() or looks[-3:] != 3 * looks[-1:]:\n"  # until the shutdown sleeps in its last call
        "        looks.append([one for one in open('/proc/self/status') if 'State' in one or 'ctxt' in one])\n"
        "        time.sleep(0.005)\n"
        "    time.sleep(0.1)\n"
        "threading.Thread(target=work).start()"
    )
    with spoken(gevent_environment, "-c", program) as (said, code):
        assert code == 0
        if said.untraced:
            pytest.skip(f"missing: a hunter that can trace on {interpreter.name}: {said.untraced[0]}")
        (root, *rest) = said.trace
        assert root.function in ("_shutdown", "_exitfunc")
        assert root.file is not None
        assert root.file.endswith("threading.py")
        assert root.seconds is not None
        longest = max(
            (call for call in every(root.calls) if call.kind == "builtin"), key=lambda call: call.seconds or 0
        )
        assert longest.function in ("_thread._shutdown", "lock.acquire")
        assert longest.seconds is not None
        assert 0.05 < longest.seconds <= root.seconds
        assert not any(call.seconds is None for call in every(said.trace)), rest


def test_an_exception_that_leaves_the_shutdown_is_in_the_tree(
    interpreter: Interpreter, gevent_environment: Environment
) -> None:
    program = "import threading\ndef fails(): raise KeyError('gone')\nthreading._shutdown = fails"
    with spoken(gevent_environment, "-c", program) as (said, _):
        if said.untraced:
            pytest.skip(f"missing: a hunter that can trace on {interpreter.name}: {said.untraced[0]}")
        if interpreter.version < (3,):
            pytest.skip("2.7: a program that replaces threading._shutdown replaces what would arm the trace")
        assert (said.trace[0].function, said.trace[0].exception) == ("fails", "KeyError: 'gone'")


@pytest.mark.interpreters("!free_threaded")
def test_a_hang_shows_the_call_that_is_still_open(interpreter: Interpreter, gevent_environment: Environment) -> None:
    if interpreter.version < (3,):
        pytest.skip("2.7: print(flush=) is not there")
    with Channel() as channel:
        environ = channel.environ(os.environ | gevent_environment.env)
        command = [str(gevent_environment.python), str(TARGETS / "agent_hangs.py")]
        with subprocess.Popen(command, env=environ, pass_fds=channel.fds, stdout=subprocess.PIPE) as process:
            try:
                said = _wait_for_open_call(channel, process)
            finally:
                process.kill()
        if said.untraced:
            pytest.skip(f"missing: a hunter that can trace on {interpreter.name}: {said.untraced[0]}")
        assert [call.function for call in said.trace] == ["_shutdown"]
        innermost = _innermost_open(said.trace)
        assert innermost is not None
        assert innermost.function in WAITING


WAITING = ("_thread._shutdown", "lock.acquire")


def _innermost_open(calls: list[TraceCall]) -> TraceCall | None:
    if not calls or calls[-1].seconds is not None:
        return None
    return _innermost_open(calls[-1].calls) or calls[-1]


def _wait_for_open_call(channel: Channel, process: subprocess.Popen[bytes]) -> Said:
    """Until the main thread sleeps in the shutdown's last call; bounded by the test's own timeout."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        said = channel.read()
        innermost = _innermost_open(said.trace)
        if said.untraced or (innermost is not None and innermost.function in WAITING):
            return said
        select.select([], [], [], 0.05)
    raise AssertionError("the program ended, or never came to wait")


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
@pytest.mark.interpreters(minors=("3.6", "3.12"))
def test_a_python_without_pythonpath_runs_and_the_report_says_so(gevent_environment: Environment, flag: str) -> None:
    with spoken(gevent_environment, flag, "-c", "print(1)") as (said, code):
        assert code == 0
        report = Report(tool=Tool(version="0"), mode="trace", captured_at="", processes=[Process(id="a", pid=1)])
        add_to(report, said)
        assert report.processes[0].agent == SILENT


def test_a_forked_child_goes_on_telling(gevent_environment: Environment) -> None:
    program = "import os\nif not os.fork():\n    import socket\nelse:\n    os.wait()"
    with spoken(gevent_environment, "-c", program) as (said, _):
        (parent,) = said.hellos
        (child,) = said.spoke - {parent}
        assert [one.process for one in said.imports.watched if one.module == "socket"] == [said.process_id(child)]


def test_the_programs_own_sitecustomize(gevent_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.stdout.write('%s\\n' % __file__)\nimport socket\n")
    environment = Environment(
        python=gevent_environment.python,
        root=gevent_environment.root,
        env={"PYTHONPATH": ":".join(filter(None, [str(tmp_path), gevent_environment.env.get("PYTHONPATH")]))},
    )
    program = "import sys; sys.exit('sitecustomize' not in sys.modules)"
    with spoken(environment, "-B", "-c", program) as (said, code):
        assert code == 0
        socket = next(one for one in said.imports.watched if one.module == "socket")
        assert socket.first_importer[0].file == str(tmp_path / "sitecustomize.py")


def test_nothing_is_written_beside_the_agent(gevent_environment: Environment) -> None:
    directory = Path(sys.modules["lastwords.capture.agent"].__file__ or "").parent.parent / "agent"
    before = sorted(directory.rglob("*"))
    with spoken(gevent_environment, "-c", "import threading"):
        assert sorted(directory.rglob("*")) == before


@pytest.mark.interpreters(minors=("2.7", "3.12"))
def test_many_exceptions_of_one_place_are_one(gevent_environment: Environment, tmp_path: Path) -> None:
    program = tmp_path / "many.py"
    program.write_text(
        "import threading\n"
        "def fails(): raise ValueError('x')\n"
        "for _ in range(300):\n"
        "    thread = threading.Thread(target=fails, name='w'); thread.start(); thread.join()\n"
    )
    with spoken(gevent_environment, str(program)) as (said, _):
        assert [caught.count for caught in said.exceptions] == [300]
