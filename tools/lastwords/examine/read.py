"""One moment, read whole, into a report: the same for a live process, a core file, and a process that gdb holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from lastwords.capture.captured import Captured
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.memory import ReadError
from lastwords.cpython import Interpreter, read_modules, read_phase, read_threading
from lastwords.cpython.finalize import read_step
from lastwords.cpython.modules import find_global, read_module
from lastwords.cpython.pytest_tests import read_current_test, read_starting_tests
from lastwords.cpython.text import read_text
from lastwords.cpython.threads import PythonThread, read_threads
from lastwords.examine.entities import Entities, tolerated
from lastwords.examine.patches import add_patches
from lastwords.examine.pools import add_pools
from lastwords.examine.relations import add_relations
from lastwords.examine.shared import add_sharers
from lastwords.examine.signals import read_handled, read_noted
from lastwords.examine.threads import make_bare_thread, make_thread
from lastwords.model import Moment, Process, Report, Shutdown

if TYPE_CHECKING:
    from lastwords.examine.greenlet_search import GreenletSearch

LIBRARIES = ("gevent", "greenlet", "eventlet", "gunicorn", "celery", "uwsgi")


class Options(msgspec.Struct, frozen=True):
    """What to read beside threads and their Python stacks.

    native: the C stacks; of greenlets that stand alike only the first's, without `native_each`
    interrupt: hold also threads in system calls that go on unseen afterwards; else none that is in a call
    """

    locals: bool = False
    native: bool = True
    native_each: bool = False
    interrupt: bool = True


class Source(msgspec.Struct, frozen=True):
    """Where a moment is read from; `facts` are what /proc knows of the process, None in a core.

    greenlets: where a search has found them; None where there was none
    """

    interp: Interpreter
    captured: Captured
    facts: Facts | None = None
    greenlets: GreenletSearch | None = None


def read_moment(report: Report, moment: Moment, source: Source, options: Options) -> list[PythonThread]:
    """Add everything that can be read to the report; what cannot is in `moment.capture.problems`.

    Returns the interpreter's threads: with these, stacks.py adds C stacks.

    Each part is read by itself: one that cannot be read takes no other with it.
    """
    interp = source.interp
    process = next(one for one in report.processes if one.id == moment.process)
    with tolerated(moment, "the interpreter's version"):
        process.python = interp.python
    with tolerated(moment, "sys.modules"):
        process.modules = read_modules(interp)
    _add_libraries(process, moment, interp)
    with tolerated(moment, "which signals Python has noted"):
        process.signals_noted = read_noted(interp)
    with tolerated(moment, "which signals the program handles"):
        process.signals_handled = read_handled(interp)
    with tolerated(moment, "what gevent has patched"):
        add_patches(process, interp)
    with tolerated(moment, "the phase of the shutdown"):
        phase = read_phase(interp)
        moment.shutdown = Shutdown(phase=phase, step=read_step(interp) if phase == "shutdown" else None)
    threads = add_threads(report, moment, source, options)
    with tolerated(moment, "which test pytest runs"):
        _add_tests(report, moment, interp)
    if threads:
        main = next((one for one in threads if one.is_main), threads[0])
        report.threading.append(read_threading(interp, main.ident, moment.id))
    return threads


def _add_tests(report: Report, moment: Moment, interp: Interpreter) -> None:
    moment.test = read_current_test(interp)
    tests = read_starting_tests(interp)
    for thread in report.threads if tests else ():
        if thread.moment == moment.id and thread.ident is not None:
            thread.test = tests.get(thread.ident)


def add_threads(report: Report, moment: Moment, source: Source, options: Options) -> list[PythonThread]:
    """Add the moment's threads to the report, and what they wait for and hold. Returns the interpreter's."""
    threads: list[PythonThread] = []
    with tolerated(moment, "the list of threads"):
        threads = read_threads(source.interp, source.captured.threads)
    entities = Entities(report, moment, threads)
    report.threads += [make_thread(entities, source.interp, one, with_locals=options.locals) for one in threads]
    # then those of the kernel that run no Python
    paired = {one.tid for one in threads}
    report.threads += [make_bare_thread(entities, one) for one in source.captured.threads if one.tid not in paired]
    add_relations(entities, source.interp, source.captured, source.facts, threads)
    add_sharers(entities, source.interp, source.captured, source.facts)
    add_pools(entities, source.interp, threads)
    _add_greenlets(entities, source, options, threads)
    _add_tasks(entities, source, options, threads)
    return threads


def _add_greenlets(entities: Entities, source: Source, options: Options, threads: Sequence[PythonThread]) -> None:
    """What reads them is loaded only where there are some."""
    if source.greenlets is None:
        return
    with tolerated(entities.moment, "greenlets"):
        if not has_greenlet(source.interp):
            return
        from lastwords.examine.greenlets import add_greenlets  # noqa: PLC0415

        add_greenlets(entities, source, options, threads)


def has_greenlet(interp: Interpreter) -> bool:
    """Whether the program has imported greenlet; so, too, where that cannot be read."""
    try:
        return read_module(interp, "greenlet") is not None
    except ReadError:
        return True


def _add_tasks(entities: Entities, source: Source, options: Options, threads: Sequence[PythonThread]) -> None:
    """As above."""
    interp = source.interp
    with tolerated(entities.moment, "asyncio's tasks"):
        if not any(read_module(interp, "asyncio.tasks", state) for state in interp.interpreters()):
            return
        from lastwords.examine.tasks import add_tasks  # noqa: PLC0415

        add_tasks(entities, source, options, threads)


def _add_libraries(process: Process, moment: Moment, interp: Interpreter) -> None:
    """The versions of those that decide how a program waits."""
    for name in LIBRARIES:
        with tolerated(moment, f"{name}.__version__"):
            found = find_global(interp, name, "__version__") if name in process.modules else None
            if found:
                process.libraries[name] = read_text(interp, found, 100)
