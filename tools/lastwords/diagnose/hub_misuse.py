"""`hub-misuse`: a call in a place where a hub does not allow it: in the hub itself, or in another thread than its own.

gevent, greenlet or asyncio itself finds it and raises. What was raised is told by its type, and by which function of
theirs raised it for which: what these raise for several reasons is told by who called them, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.actors import is_library
from lastwords.diagnose.caught import is_of_module, traceback, type_name
from lastwords.frames import is_patchers, python_frames
from lastwords.model import Caught, Certainty, Evidence, Finding, Frame, Process, Report, Subject

CODE = "hub-misuse"
BLOCKING = ("gevent.exceptions.BlockingSwitchOutError", "gevent.hub.BlockingSwitchOutError")
FOREIGN = ("gevent.exceptions.InvalidThreadUseError", "gevent.hub.InvalidThreadUseError")
SWITCH = ("greenlet.error", "_greenlet.error")  # of several reasons, among them a greenlet of another thread
# Before gevent 1.3 it is an AssertionError of the hub's own method.
RAISERS = ("switch_out",)
RAISER_MODULES = ("gevent.hub", "gevent._hub_primitives", "gevent._greenlet_primitives")
# What raises TypeError for a loop that is not the default one, if its arguments are what gevent gives it.
CHILD_MAKERS = ("child.__cinit__", "child.__init__", "ChildMixin.__init__", "__init__")
LOOP_FILES = ("corecext.pyx", "core.pyx", "core.ppyx", "_ffi/loop.py", "/watcher.py")
# What raises RuntimeError where a loop runs already in the thread.
LOOP_STARTERS = (
    ("asyncio.runners", "run"),
    ("asyncio.base_events", "_check_running"),
    ("asyncio.base_events", "run_forever"),
)


class Misuse(msgspec.Struct, frozen=True):
    """One kind of it. `what` the function does that is told; `by`: who does not allow it."""

    what: str
    certainty: Certainty
    explanation: str
    fix: str
    by: str = "gevent refuses"


WAITS = Misuse(
    "waits in the hub itself",
    "certain",
    "The hub runs callbacks, signal handlers and finalizers between the turns of greenlets. Waiting by way of gevent "
    "means to switch to the hub; in the hub itself there is nobody to switch to, so gevent raises instead, and the "
    "rest of the function does not run.",
    "Start a greenlet there instead of waiting: gevent.spawn(function); link() instead of rawlink(); "
    "gevent.signal_handler(...) instead of signal.signal(...).",
)
USES = Misuse(
    "uses another thread's hub",
    "certain",
    "A hub, its loop and what belongs to them may be used by their own thread alone. Another thread did so, and gevent "
    "raised in it.",
    "Hand work to the other thread's hub by loop.run_callback_threadsafe(...) or an async watcher, and results by the "
    "threadpool; make locks, events and queues in the thread whose greenlets use them.",
)
SWITCHES = msgspec.structs.replace(
    USES, what="switches to a greenlet that is not this thread's, or no more", certainty="likely", by="greenlet refuses"
)
WATCHES = Misuse(
    "waits for a child process in a thread whose hub is not the first one's",
    "certain",
    "Only the default loop, that of the thread that used gevent first, takes the signal by which the kernel tells that "
    "a child has ended. gevent makes no watcher for a child in any other thread, a threadpool's for example: its "
    "subprocess and os.fork cannot be used there, nor the standard ones after monkey-patching.",
    "Start processes in a greenlet of the main thread. Where it has to be another thread, use what was there before "
    "the patch: gevent.monkey.get_original('subprocess', 'Popen'), or patch_all(subprocess=False, os=False).",
)
NESTS = Misuse(
    "starts an event loop while another greenlet of the thread runs one",
    "likely",
    "asyncio keeps account of the running loop by thread, and greenlets share their thread: while one has given way "
    "inside its loop, that loop counts as running for all others.",
    "Run one loop, in a thread of its own: gevent.get_hub().threadpool.apply(asyncio.run, (main(),)), or hand "
    "coroutines to it by asyncio.run_coroutine_threadsafe(...).",
    "asyncio refuses",
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each exception by which such a use was refused."""
    processes = {one.id: one for one in report.processes}
    for caught in report.exceptions:
        misuse = _judge(report, processes.get(caught.process), caught)
        if misuse is not None:
            yield _make_finding(caught, misuse)


def _judge(report: Report, process: Process | None, caught: Caught) -> Misuse | None:
    kind, frames = type_name(caught.exception), python_frames(traceback(caught))
    if kind in FOREIGN:
        return USES
    if kind in BLOCKING or _is_from_hub(frames):
        is_sure = kind in BLOCKING or caught.how == "hub"  # else it may be the function's own greenlet
        return WAITS if is_sure else msgspec.structs.replace(WAITS, certainty="likely")
    has_gevent = process is not None and "gevent" in process.libraries
    is_of_threads = kind in SWITCH and _has_threads(report, caught)
    found = {
        "TypeError": WATCHES if _is_of_child_watcher(frames) else None,
        "RuntimeError": NESTS if _is_of_second_loop(frames) else None,
    }.get(kind, SWITCHES if is_of_threads else None)
    return found if has_gevent else None


def _is_from_hub(frames: list[Frame]) -> bool:
    return bool(frames) and frames[0].function in RAISERS and frames[0].module in RAISER_MODULES


def _is_of_child_watcher(frames: list[Frame]) -> bool:
    """Whether a watcher's class raised it, called by gevent itself: so it was given a process's number."""
    made = next((at for at, one in enumerate(frames) if not _is_of_loop(one)), 0)
    is_made = made and (frames[0].function or "").endswith(CHILD_MAKERS)
    return bool(is_made) and any(is_of_module(one, "gevent.os") for one in frames[made : made + 2])


def _is_of_loop(frame: Frame) -> bool:
    return is_patchers(frame) and (frame.file or "").endswith(LOOP_FILES)


def _is_of_second_loop(frames: list[Frame]) -> bool:
    """Whether asyncio would not start a loop, and none further out is a loop's: the one that runs has its own stack."""
    if not frames or not any(
        is_of_module(frames[0], module) and frames[0].function == name for module, name in LOOP_STARTERS
    ):
        return False
    asked = next((at for at, one in enumerate(frames) if not _is_asyncio(one)), len(frames))
    return asked < len(frames) and not any(_is_asyncio(one) for one in frames[asked:])


def _is_asyncio(frame: Frame) -> bool:
    return (frame.module or "").split(".")[0] == "asyncio"


def _has_threads(report: Report, caught: Caught) -> bool:
    """Whether its process had other threads then."""
    return caught.how == "thread" or sum(one.moment == caught.moment for one in report.threads) > 1


def _make_finding(caught: Caught, misuse: Misuse) -> Finding:
    frames = python_frames(traceback(caught))
    at = next((one for one in frames if not is_library(one)), None) or Frame(kind="python")
    where = f" at {at.file}:{at.line}" if at.file else ""
    kind = caught.exception.type if caught.exception else None
    raised = frames[0] if frames else at
    return Finding(
        code=CODE,
        title=f"{at.function or 'a function'} {misuse.what}{where}, which {misuse.by}",
        certainty=misuse.certainty,
        process=caught.process,
        subjects=[
            Subject(kind="exception", name=kind or "an exception", id=caught.id, file=at.file, line=at.line),
        ],
        evidence=[
            Evidence(text=f"{misuse.by.split()[0]} raised", file=raised.file, line=raised.line, value=kind),
            Evidence(text="by", file=at.file, line=at.line, value=at.source),
        ],
        explanation=misuse.explanation,
        fix=misuse.fix,
    )
