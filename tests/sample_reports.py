"""Reports made by hand, as the readers would make them: each is a program that somebody could write."""

from __future__ import annotations

from lastwords.model import (
    ActiveThread,
    Capture,
    Caught,
    ExceptionValue,
    Exit,
    Frame,
    How,
    Imports,
    Moment,
    Patch,
    Phase,
    Process,
    Python,
    Report,
    ThreadingState,
    Tool,
    Value,
    WatchedImport,
)

NATIVE = 139999000001344
GREENLET = 139999007000000
STDLIB = "/usr/lib/python2.7"
THREADING = f"<module 'threading' from '{STDLIB}/threading.pyc'>"
LIBPYTHON = "/usr/lib/libpython3.12.so.1.0"


def python(function: str, file: str, line: int, source: str | None = None, module: str | None = None) -> Frame:
    return Frame(kind="python", function=function, file=file, line=line, source=source, module=module)


def native(*functions: str | None, library: str = LIBPYTHON) -> list[Frame]:
    return [
        Frame(kind="native", function=name, library=library, address=0x7F0000001000 + at)
        for at, name in enumerate(functions)
    ]


def process(**more: object) -> Process:
    settings: dict[str, object] = {
        "id": "process-1",
        "pid": 4711,
        "argv": ["python", "app.py"],
        "python": Python(version="3.12.1", implementation="CPython"),
        "exit": Exit(code=0),
    }
    return Process(**(settings | more))  # type: ignore[arg-type]


def report(*caught: Caught, **more: object) -> Report:
    settings: dict[str, object] = {
        "tool": Tool(version="0.1.0"),
        "mode": "run",
        "captured_at": "2026-01-02T03:04:05Z",
        "processes": [process()],
        "exceptions": list(caught),
    }
    return Report(**(settings | more))  # type: ignore[arg-type]


def caught(
    type: str | None = "ValueError",
    stack: list[Frame] | None = None,
    traceback: list[Frame] | None = None,
    how: How = "unraisable",
    phase: Phase = "running",
    **more: object,
) -> Caught:
    """An exception as gdb and the reader tell of it; by default from line 3 of app.py."""
    frames = [python("work", "/srv/app.py", 3, "raise ValueError(1)")] if traceback is None else traceback
    settings: dict[str, object] = {
        "id": "exception-1",
        "process": "process-1",
        "exception": ExceptionValue(type=type, value="1", traceback=frames) if type else None,
        "stack": stack or [],
    }
    return Caught(how=how, phase=phase, **(settings | more))  # type: ignore[arg-type]


def moment() -> Moment:
    return Moment(id="moment-1", process="process-1", reason="unraisable", capture=Capture(method="gdb"))


def original() -> Report:
    """CPython 2.7, gevent 1.0.2: `import threading`, then patch_thread(); the KeyError comes at exit."""
    error = ExceptionValue(
        type="KeyError",
        value=str(GREENLET),
        args=[Value(type="int", repr=str(GREENLET))],
        traceback=[
            python("__delete", f"{STDLIB}/threading.py", 893, "del _active[_get_ident()]"),
            python("_exitfunc", f"{STDLIB}/threading.py", 853, "self._Thread__delete()"),
        ],
    )
    swallowed = Caught(
        id="exception-1",
        process="process-1",
        moment="moment-1",
        how="unraisable",
        phase="shutdown",
        message=f"Exception KeyError: KeyError({GREENLET},) in {THREADING} ignored",
        exception=error,
        object=Value(type="module", repr=THREADING, address=0x7F0000002000),
        stack=native("PyErr_WriteUnraisable", "wait_for_thread_shutdown", "Py_Finalize", "Py_Main", "main"),
    )
    return report(
        swallowed,
        moments=[moment()],
        processes=[process(python=Python(version="2.7.18", implementation="cpython"), libraries={"gevent": "1.0.2"})],
        threading=[threading_state()],
        imports=imports(),
    )


def threading_state(**more: object) -> ThreadingState:
    settings: dict[str, object] = {
        "moment": "moment-1",
        "active": [ActiveThread(key=NATIVE, name="MainThread", ident=NATIVE, is_native=True)],
        "native_ident": NATIVE,
        "main_ident": NATIVE,
        "get_ident": "get_ident",
        "get_ident_module": "gevent.thread",
        "current_ident": GREENLET,
        "patched": True,
    }
    return ThreadingState(**(settings | more))  # type: ignore[arg-type]


def imports(import_order: int = 0, patch_order: int = 3, thread: int = NATIVE) -> Imports:
    importers = [
        python("<module>", "/srv/pool.py", 7, "import threading"),
        python("<module>", "/srv/app.py", 1, "import pool"),
    ]
    patching = [
        python("patch_item", "/venv/lib/gevent/monkey.py", 120, "saved.setdefault(...)"),
        python("patch_thread", "/venv/lib/gevent/monkey.py", 200, "patch_module('threading')"),
        python("<module>", "/srv/app.py", 5, "gevent.monkey.patch_thread()"),
    ]
    return Imports(
        watched=[
            WatchedImport(process="process-1", module="threading", first_importer=importers, order=import_order),
            WatchedImport(process="process-1", module="gevent.monkey", first_importer=importers[1:], order=1),
        ],
        patches=[
            Patch(
                process="process-1",
                module="threading",
                attributes=["local", "_get_ident"],
                at=patching,
                order=patch_order,
                thread=thread,
            )
        ],
    )


def native_thread() -> Report:
    """CPython 3.11 and newer: a thread is started before patch_all() and ends after it."""
    made = original()
    other = NATIVE + 4096
    made.exceptions[0].phase = "running"
    made.exceptions[0].thread = "exporter"
    made.exceptions[0].stack = native("_PyErr_WriteUnraisableMsg", "thread_run", "pythread_wrapper", "start_thread")
    made.threading = [
        threading_state(
            active=[ActiveThread(key=GREENLET + 64, name="MainThread"), ActiveThread(key=other, name="exporter")],
            native_ident=other,
        )
    ]
    return made
