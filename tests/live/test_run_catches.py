"""`lastwords run`: what each interpreter swallows is caught once and read as the interpreter itself printed it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from environments import Environment
from harness import TARGETS
from interpreters import Interpreter, find_interpreters
from lastwords.model import Caught, Exit
from watching import Printed, Watched, functions_of, lines_of, read_printed, sources_of, watch

NEWEST = find_interpreters()[-1].minor if find_interpreters() else ""
# The C function that called the funnel, in the words of one release or the other (Objects/typeobject.c ...).
CALLERS = {
    "del": ("slot_tp_finalize", "slot_tp_del"),
    "callback": ("handle_callback", "PyObject_ClearWeakRefs"),
    "exporter": ("handle_callback", "PyObject_ClearWeakRefs"),
    "repr": ("handle_callback", "PyObject_ClearWeakRefs"),
    "text": ("slot_tp_finalize", "slot_tp_del"),
    "generator": ("gen_dealloc", "gen_del", "_PyGen_Finalize"),
    "gc": ("invoke_gc_callback",),
    "thread": ("t_bootstrap", "thread_run"),
    "second": ("slot_tp_finalize", "slot_tp_del"),
    "ctypes": ("_CallPythonObject",),
    "hook": ("PyErr_WriteUnraisable", "_PyErr_WriteUnraisableMsg"),
    "hooked": ("slot_tp_finalize",),
    "delegated": ("slot_tp_finalize",),
    "atexit": ("atexit_callfuncs", "call_sys_exitfunc"),
    "finalizing": ("slot_tp_finalize", "slot_tp_del"),
    "teardown": ("slot_tp_finalize", "slot_tp_del"),
}
EXPORTED = {"_PyEval_EvalFrameDefault", "Py_BytesMain", "Py_FinalizeEx", "PyObject_CallFinalizerFromDealloc"}
# Told by Python code of the program, which the reader does not run: the interpreter prints something else there.
UNTOLD_OBJECT, UNTOLD_VALUE = {"repr"}, {"text"}
UNPRINTED = {"hooked", "finalizing", "teardown"}  # kept by a hook that failed; sys.stderr may be gone
LAST_PHASE = {"atexit": ("running", "shutdown"), "finalizing": ("finalizing",), "teardown": ("finalizing",)}


def test_what_is_swallowed_is_caught_once_and_as_it_was_printed(interpreter: Interpreter, tmp_path: Path) -> None:
    seen = watch([interpreter.path, TARGETS / "swallows.py"], tmp_path)
    printed = read_printed(seen.stderr)
    if any("write_unraisable_exc_file" in problem for problem in seen.report.problems):
        assert interpreter.has("stripped")
        seen = replace(seen, stderr=seen.stderr.replace("== hook\n", ""))
    names = [line[3:] for line in seen.stderr.splitlines() if line.startswith("== ")]
    assert len(names) == len(set(names)) >= 12
    assert sorted(_name(one) for one in seen.report.exceptions) == sorted(names)
    for name in names:
        caught = seen.the(name)
        assert (name, caught.count, caught.error) == (name, 1, None)
        assert caught.phase in LAST_PHASE.get(name, ("running",))
        _check_printed(name, caught, [one for one in printed if _tells(one, name)])
        _check_c_stack(name, caught, interpreter)


def _tells(printed: Printed, name: str) -> bool:
    return printed.last.rpartition(": ")[2].strip("'") == name or f"'{name}'" in str(printed.above)


def _name(caught: Caught) -> str:
    assert caught.exception is not None
    return str(caught.exception.args[0].repr).strip("'")


def _check_printed(name: str, caught: Caught, printed: list[Printed]) -> None:
    """Against what the interpreter said; what it said nowhere has the place at which the program raises it."""
    assert caught.exception is not None
    assert str(caught.exception.traceback[0].source).startswith("raise ")
    if name in UNTOLD_VALUE:
        assert (caught.exception.value, caught.exception.error) == (
            None,
            "BadText has a __str__ of its own, which is not run",
        )
        return
    if name in UNPRINTED and not printed:
        assert caught.how == "unraisable"
        return
    assert printed, f"{name} was not printed"
    shown = ([one for one in printed if one.above] or printed)[-1]
    if name not in UNTOLD_OBJECT:
        assert (caught.message, caught.how) == (shown.above, _how(shown))
    if shown.last:
        assert lines_of(caught.exception.traceback) == shown.lines
        assert sources_of(caught.exception.traceback) == shown.sources
        assert shown.last == f"{caught.exception.type}: {caught.exception.value}".removeprefix("exceptions.")


def _how(shown: Printed) -> str:
    """What the interpreter calls ignored was unraisable, but for a thread's end; the rest it just prints."""
    above = str(shown.above)
    if above.startswith(("Unhandled exception in thread", "Exception ignored in thread started by")):
        return "thread"
    return "unraisable" if above.startswith("Exception ") else "printed"


def _check_c_stack(name: str, caught: Caught, interpreter: Interpreter) -> None:
    """From the funnel to the program's or the thread's first function; in between, who called."""
    functions = functions_of(caught.stack)
    assert functions[0].startswith(("PyErr_", "_PyErr_")) or (name, functions[0]) == (
        "hook",
        "write_unraisable_exc_file",
    )
    assert len(caught.stack) > 3
    if interpreter.has("symbols"):
        assert functions[-1] in ("_start", "main", "clone3", "clone")
    if interpreter.has("debug_symbols"):
        assert set(functions[1:6]) & set(CALLERS[name]), functions
        caller = next(frame for frame in caught.stack if frame.function in CALLERS[name])
        assert str(caller.file).endswith(".c")
        assert caller.line
    elif name != "thread":
        assert {"_PyEval_EvalFrameDefault", "Py_BytesMain", "Py_FinalizeEx", "PyObject_CallFinalizerFromDealloc"} & set(
            functions
        ), functions


# Eleven processes under gdb: a distribution's separate debug symbols are read anew for each of them, seconds each.
@pytest.mark.interpreters(minors=("2.7", "3.6", "3.8", "3.11", "3.13", NEWEST))
def test_what_ends_a_program_is_caught_once(interpreter: Interpreter, tmp_path: Path) -> None:
    seen = watch([interpreter.path, TARGETS / "ends_uncaught.py"], tmp_path, timeout=240)
    pids = dict(line.split() for line in seen.stdout.splitlines())
    assert seen.code == 1
    for name in ("by_default", "by_own_hook", "by_broken_hook", "by_interrupt", "as_module"):
        caught = seen.the(name)
        assert (name, caught.how, caught.count, caught.phase) == (name, "uncaught", 1, "running")
        assert caught.process == f"process-{pids[name]}"
        assert caught.error is None or interpreter.has("stripped")
    assert [seen.the(name).how for name in ("by_command", "at_last", "broken")] == ["uncaught", "uncaught", "printed"]
    assert {_name(one) for one in seen.report.exceptions} <= NAMES_OF_ENDS
    _check_tracebacks(seen)
    ended = {str(one.pid): one.exit for one in seen.report.processes}
    assert len(ended) == 11
    assert str(ended[pids["by_exit"]]) == str(Exit(code=3))


NAMES_OF_ENDS = {
    "by_default", "by_own_hook", "by_broken_hook", "by_interrupt", "as_module", "by_command", "at_last", "broken",
    "in_thread",
}  # fmt: skip


def _check_tracebacks(seen: Watched) -> None:
    """Each traceback that was printed, of a record: the same lines."""
    printed = {one.last: one for one in read_printed(seen.stderr)}
    for caught in seen.report.exceptions:
        assert caught.exception is not None
        shown = printed.get(f"{caught.exception.type}: {caught.exception.value}".removeprefix("exceptions."))
        if shown is not None:
            assert lines_of(caught.exception.traceback) == shown.lines
            if shown.lines[0][0] != "<string>":  # from 3.13 the interpreter keeps the text of `-c`
                assert sources_of(caught.exception.traceback) == shown.sources


def test_what_ends_a_thread_is_caught_once(interpreter: Interpreter, tmp_path: Path) -> None:
    seen = watch([interpreter.path, TARGETS / "ends_threads.py"], tmp_path)
    names = [line[3:] for line in seen.stderr.splitlines() if line.startswith("== ")]
    assert len(names) == (5 if interpreter.has("threading_excepthook") else 2)
    assert sorted(_name(one) for one in seen.report.exceptions) == sorted(names)
    printed = {one.name: one for one in read_printed(seen.stderr)}
    for name in names:
        caught = seen.the(name)
        assert (name, caught.how) == (name, "printed" if name == "broken" else "thread")
        if name in printed:
            assert caught.message == printed[name].above
    _check_tracebacks(seen)


@pytest.mark.interpreters(minors=("2.7", "3.8", "3.13", NEWEST))
def test_what_ends_a_greenlet_is_caught_once(gevent_environment: Environment, tmp_path: Path) -> None:
    program = [gevent_environment.python, TARGETS / "greenlets_fail.py"]
    seen = watch(program, tmp_path, env=gevent_environment.env)
    ended = dict.fromkeys(("spawned", "later", "inner", "outer"), "greenlet")
    expected = ended | {"callback": "hub", "deleted": "unraisable"}
    assert {_name(one): one.how for one in seen.report.exceptions} == expected
    assert [one.count for one in seen.report.exceptions] == [1] * len(expected)
    printed = {one.last.rpartition(": ")[2]: one for one in read_printed(seen.stderr)}
    for caught in seen.report.exceptions:
        shown = printed.get(_name(caught))
        if shown is not None and shown.lines and caught.exception is not None:
            ours = [line for line in lines_of(caught.exception.traceback) if str(line[0]).startswith(str(TARGETS))]
            assert ours
            assert set(ours) <= set(shown.lines)
