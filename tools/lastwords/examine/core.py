"""The report of a core file: what a process was doing when it died, or when its core was made."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lastwords.capture.captured import Captured
from lastwords.capture.core.corefile import Core, open_core
from lastwords.capture.elf import ROOTS, Image
from lastwords.capture.memory import CachedMemory, ReadError, UncachedMemory
from lastwords.capture.snapshot.facts import RecordedFacts
from lastwords.cpython.interpreter import Interpreter, open_image
from lastwords.errors import SetupError, TargetError
from lastwords.examine.describe import new_moment, new_report
from lastwords.examine.greenlet_search import GREENLETS, GreenletSearch, known_greenlets, search_core
from lastwords.examine.greenlet_stacks import add_greenlet_stacks
from lastwords.examine.read import Options, Source, read_moment
from lastwords.examine.recorded import KeptSources, add_recorded, describe_capture, recorded_process, recorded_report
from lastwords.examine.stacks import add_native_stacks, open_stacks
from lastwords.frames import python_frames
from lastwords.model import Caught, Exit, Moment, Process, Report
from lastwords.signals import CRASHES, signal_name

METHOD = "core file"
PYPY = ("rpython_startup_code", "pypy_main_startup")


class Loaded(msgspec.Struct):
    """A core and the CPython in it. `captured.problems` grows by what reading needs and the core has not."""

    core: Core
    interp: Interpreter
    captured: Captured


def load_core(path: Path, executable: Path | None = None) -> Loaded:
    """The CPython in a core file; `executable` is a copy of its program (or libpython), where it is not in its place.

    Raises TargetError for what is no core of CPython, SetupError where a file cannot be read or is missing here.
    """
    return find_interpreter(open_core(path, executable))


def find_interpreter(core: Core, memory: CachedMemory | None = None) -> Loaded:
    """The CPython in an open core; `memory` reads it some other way. Errors as in `load_core`."""
    if memory is None:  # a snapshot has no more of a page than was asked for
        memory = UncachedMemory(core.memory) if core.snapshot else CachedMemory(core.memory)
    image = core.find_image(ROOTS)
    if image is None:
        raise _explain_no_python(core)
    try:
        interp = open_image(None, memory, image)
    except (ReadError, TargetError) as error:
        raise _explain_unread(core, image, error) from error
    interp.main_tid = core.pid
    interp.find_file = core.find_image
    if core.snapshot:
        interp.sources = KeptSources(core.snapshot.sources)
    captured = Captured(
        pid=core.pid,
        memory=memory,
        maps=core.maps,
        threads=core.threads,
        architecture=core.architecture,
        method=METHOD,
        problems=core.problems,
    )
    return Loaded(core, interp, describe_capture(captured, core.snapshot) if core.snapshot else captured)


def read_core_report(path: Path, executable: Path | None = None, options: Options = Options()) -> Report:  # noqa: B008 - it is frozen
    """What every thread in the core was doing, the one that died first. Raises TargetError and SetupError."""
    core = open_core(path, executable)
    try:
        report = make_report(find_interpreter(core), options)
    except (SetupError, TargetError) as error:
        if core.snapshot is None:
            raise
        return recorded_report(core.snapshot, error.fact)
    lacks = list(dict.fromkeys([*core.problems, *core.files.missing()]))
    return recorded_report(core.snapshot, "; ".join(lacks[:3])) if core.snapshot and lacks else report


def make_report(loaded: Loaded, options: Options) -> Report:
    """The report of a core whose CPython was found."""
    report = new_report("core")
    snapshot = loaded.core.snapshot
    process = recorded_process(snapshot) if snapshot else _describe_process(loaded.core)
    moment = new_moment("moment-1", process.id, "attach" if snapshot else "core", loaded.captured)
    report.processes.append(process)
    report.moments.append(moment)
    known = len(loaded.core.problems)
    facts = RecordedFacts(process.pid, snapshot.answers) if snapshot else None
    source = Source(loaded.interp, loaded.captured, facts, _find_greenlets(loaded))
    threads = read_moment(report, moment, source, options)
    if options.native:
        unwinder = open_stacks(source, loaded.core.files)
        add_native_stacks(report, moment, source, threads, unwinder)
        add_greenlet_stacks(source, unwinder)
    moment.capture.problems += [*loaded.core.problems[known:], *_describe_remedy(loaded.core)]
    if snapshot:
        add_recorded(report, snapshot)
    moment.capture.complete = not moment.capture.problems
    _add_death(report, moment, process, loaded.core)
    return report


def _find_greenlets(loaded: Loaded) -> GreenletSearch:
    """Of a snapshot, which has not all of the memory, those that its maker found."""
    core = loaded.core

    def find_image(address: int) -> Image | None:
        file = core.files.find_file(address)
        return file.image() if file else None

    if core.snapshot:
        return known_greenlets(loaded.interp, core.memory, find_image, core.snapshot.found.get(GREENLETS, []))
    return search_core(loaded.interp, core.memory, core.maps, find_image)


def _describe_remedy(core: Core) -> Iterator[str]:
    """What helps where files were needed that are not here."""
    missing = [one for one in core.files.by_path.values() if one.file is None and one.problem in core.problems]
    if missing:
        named = shlex.quote(str(core.path))
        yield (
            f"a copy of such a file is taken by `lastwords core {named} COPY`, which looks at its build-id; "
            "`debuginfod-find executable BUILD_ID` may find one; `lastwords snapshot --bundle` takes them along"
        )


def _describe_process(core: Core) -> Process:
    return Process(
        id=f"process-{core.pid}",
        pid=core.pid or 0,
        ppid=core.ppid,
        argv=core.argv,
        executable=core.executable,
        exit=Exit(signal=core.signal) if core.signal else None,
    )


def _add_death(report: Report, moment: Moment, process: Process, core: Core) -> None:
    """The thread that got the signal comes first; a crash is an exception that nobody could catch."""
    report.threads.sort(key=lambda thread: thread.tid != core.crashed_tid)
    if core.signal is None or signal_name(core.signal) not in CRASHES:
        return
    first = next((thread for thread in report.threads if thread.tid == core.crashed_tid), None)
    caught = Caught(
        id=f"{moment.id}-exception",
        process=process.id,
        how="fatal",
        moment=moment.id,
        thread=first.id if first else None,
        message=describe_signal(core),
        exception=first.pending if first else None,
        stack=[frame for frame in first.native_stack or first.stack if frame.kind == "native"] if first else [],
        python_stack=python_frames(first.stack) if first else [],
        phase=moment.shutdown.phase if moment.shutdown else "running",
        error=first.error if first else None,
    )
    report.exceptions.append(caught)


def describe_signal(core: Core) -> str:
    """The signal and where it came from: "signal SIGSEGV: address 0x10", "signal SIGABRT, sent by itself"."""
    text = f"signal {signal_name(core.signal or 0)}"
    if core.fault_address is not None:
        return f"{text}: address {core.fault_address:#x}"
    if core.sender is not None:
        return f"{text}, sent by {'itself' if core.sender == core.pid else f'process {core.sender}'}"
    return text


def _explain_no_python(core: Core) -> TargetError | SetupError:
    """PyPy, no Python at all, or a Python whose file is neither here nor in the core."""
    program = core.executable or core.name or "a program that it does not name"
    named = shlex.quote(str(core.path))
    backtrace = f"gdb {shlex.quote(program)} {named} -batch -ex 'thread apply all bt'    # its C stacks at least"
    if core.find_image(PYPY):
        fact = f"{core.path} is the core of {program}, which is PyPy; lastwords reads CPython 2.7 and 3.6 to 3.15 only."
        return TargetError(fact, backtrace)
    missing = core.files.unusable(core.executable)
    if missing:
        why = "; ".join([*missing[:3], *core.problems])
        fact = f"{core.path} is the core of {program}, and the file that holds its Python was not found: {why}."
        return SetupError(fact, f"lastwords core {named} EXECUTABLE    # a copy of that file; its build-id is checked")
    if core.problems:
        fact = f"{core.path} is the core of {program}, in which no Python was found: {'; '.join(core.problems)}."
        return TargetError(fact, f"ls -l {named}    # is it whole?")
    fact = f"{core.path} is the core of {program}, which is not Python: no file that it had mapped holds CPython."
    return TargetError(fact, backtrace)


def _explain_unread(core: Core, image: Image, error: ReadError | TargetError) -> TargetError:
    """A core from which the roots are missing, or whose interpreter fits no layout."""
    why = "; ".join([str(error).rstrip("."), *core.problems])
    fact = f"The CPython in {core.path} ({image.path}) cannot be read: {why}."
    return TargetError(fact, f"ls -l {shlex.quote(str(core.path))}    # is it whole, and of a Python that runs?")
