"""C frames in the text of threads: visibly no Python ones, machinery folded and counted, in 80 columns."""

from __future__ import annotations

import pytest

from lastwords.model import Capture, Frame, Moment, Process, Report, Thread, Tool
from lastwords.report.layout import Native, Page
from lastwords.report.stacks import format_frame
from lastwords.report.text import format_report

LIBRARY = "/opt/lib/libpython3.11.so.1.0"
STACK = [
    Frame(kind="native", function="futex_wait", library="/lib/libc.so.6", offset=0x10, plumbing=True),
    Frame(kind="native", function="sem_wait", library="/lib/libc.so.6", offset=0x20),
    Frame(kind="native", function="lock_acquire", library=LIBRARY, file="./Modules/_threadmodule.c", line=146),
    Frame(kind="native", function="_PyObject_Vectorcall", library=LIBRARY, plumbing=True, inlined=True),
    Frame(kind="python", function="key", file="app.py", line=7, source="lock.acquire()"),
    Frame(kind="native", library="/app/_fast.so", offset=0x1A2B, address=0x7F00),
    Frame(kind="native", address=0x7F0042, guessed=True),
    Frame(kind="python", function="main", file="app.py", line=20),
    Frame(kind="native", function="Py_RunMain", library=LIBRARY, plumbing=True),
]


def report_of(*threads: Thread) -> Report:
    for number, thread in enumerate(threads):
        thread.id, thread.tid, thread.name, thread.interpreter = f"t{number}", 11 + number, f"worker-{number}", 0
    moments = [Moment(id="m", process="p", reason="attach", capture=Capture(method="stopped"))]
    processes = [Process(id="p", pid=11)]
    return Report(
        tool=Tool(version="0"), mode="attach", captured_at="", moments=moments, threads=[*threads], processes=processes
    )


def thread(stack: list[Frame], native_stack: list[Frame] | None = None, error: str | None = None) -> Thread:
    return Thread(id="", moment="m", stack=stack, native_stack=native_stack, error=error)


def lines_of(report: Report, native: Native = "fold") -> list[str]:
    lines = list(format_report(report, native=native))
    return lines[next(at for at, line in enumerate(lines) if line.startswith("Thread")) + 1 :]


def test_machinery_is_folded_and_counted() -> None:
    assert lines_of(report_of(thread(STACK))) == [
        '    File "app.py", line 20, in main',
        "    C: 0x7f0042 (no file, guessed)",
        "    C: _fast.so+0x1a2b",
        '    File "app.py", line 7, in key',
        "      lock.acquire()",
        "    C: lock_acquire (_threadmodule.c:146)",
        "    C: sem_wait (libc.so.6)",
        "",
        "Without 3 C frames of the interpreter's and the C library's own machinery",
        "  (--native=all shows all)",
    ]


def test_all_of_them() -> None:
    shown = lines_of(report_of(thread(STACK)), "all")
    assert [line for line in shown if line.startswith("    C: ")] == [
        "    C: Py_RunMain (libpython3.11.so.1.0)",
        "    C: 0x7f0042 (no file, guessed)",
        "    C: _fast.so+0x1a2b",
        "    C: _PyObject_Vectorcall (libpython3.11.so.1.0)",
        "    C: lock_acquire (_threadmodule.c:146)",
        "    C: sem_wait (libc.so.6)",
        "    C: futex_wait (libc.so.6)",
    ]
    assert shown[-1].startswith("    C: ")


def test_none_of_them() -> None:
    shown = lines_of(report_of(thread(STACK, native_stack=STACK)), "none")
    assert shown == ['    File "app.py", line 20, in main', '    File "app.py", line 7, in key', "      lock.acquire()"]


def test_what_does_not_fit_is_shown_as_two_stacks() -> None:
    python = [frame for frame in STACK if frame.kind == "python"]
    native = [frame for frame in STACK if frame.kind == "native"]
    error = "its C frames do not fit the Python ones: 1 of its 2 calls from C to Python lie in them"
    shown = lines_of(report_of(thread(python, native, error)))
    assert shown[3:] == [
        "  Its C stack, which does not fit the Python one (innermost last):",
        "    C: 0x7f0042 (no file, guessed)",
        "    C: _fast.so+0x1a2b",
        "    C: lock_acquire (_threadmodule.c:146)",
        "    C: sem_wait (libc.so.6)",
        "  not all of it could be read: its C frames do not fit the Python ones: 1 of its",
        "    2 calls from C to Python lie in them",
        "",
        "Without 3 C frames of the interpreter's and the C library's own machinery",
        "  (--native=all shows all)",
    ]


def test_a_long_name_is_cut_and_hostile_ones_are_escaped() -> None:
    stack = [
        Frame(kind="native", function="std::map<" + "int, " * 50 + ">", library="/lib/libx.so", offset=1),
        Frame(kind="native", function="f\x1b[31m", library="/lib/li\nb.so", offset=1),
    ]
    first, second, *_ = lines_of(report_of(thread(stack)))
    assert first == "    C: f\\x1b[31m (li\\nb.so)"
    assert second.endswith("... (libx.so)")
    assert len(second) <= 80


@pytest.mark.parametrize(("native", "titles"), [("fold", 1), ("none", 1), ("all", 2)])
def test_threads_are_alike_if_what_is_shown_of_them_is(native: Native, titles: int) -> None:
    other = [Frame(kind="native", function="other_machinery", library=LIBRARY, plumbing=True), *STACK[1:]]
    lines = list(format_report(report_of(thread(STACK), thread(other)), native=native))
    assert sum(line.startswith("Thread") for line in lines) == titles


def test_deep_recursion_is_cut_unless_all_is_asked_for() -> None:
    deep = [Frame(kind="python", function="f", file="app.py", line=1)] * 100
    assert lines_of(report_of(thread(deep)))[-1] == "    ... and 40 outer frames, first"
    assert len(lines_of(report_of(thread(deep)), "all")) == 100


def test_a_long_name_of_an_extension_keeps_to_the_width() -> None:
    library = "/x/_gevent_c_greenlet_primitives.cpython-311-x86_64-linux-gnu.so"
    name = "__pyx_pw_6gevent_29_gevent_c_greenlet_primitives_25SwitchOut"
    frame = Frame(kind="native", function=name, library=library)
    assert list(format_frame(Page(), frame)) == [f"    C: {name}", "      (_gevent_c_greenlet_primitives.so)"]
    assert list(format_frame(Page(details=True), frame)) == [f"    C: {name} ({library[3:]})"]
