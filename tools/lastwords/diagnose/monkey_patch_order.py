"""`monkey-patch-order`: gevent patched `threading` when a thread was registered in it already.

A thread enters itself in `threading._active` under what `get_ident` returns then: its native ident. gevent replaces
`get_ident` by one that returns the id of the current greenlet. When the thread ends, `del _active[get_ident()]`
looks for the new name and finds only the old one: KeyError, in code that nobody called.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lastwords.diagnose.caught import (
    evidence,
    is_of_module,
    place,
    raised_at,
    subject,
    subjects,
    threading_state,
    type_name,
)
from lastwords.diagnose.patched_late import find_late
from lastwords.diagnose.patches import TooLate, find_record, pair_up, patched_too_late
from lastwords.frames import own_frame
from lastwords.model import ActiveThread, Caught, Certainty, Evidence, Finding, Frame, Patch, Report, ThreadingState

CODE = "monkey-patch-order"
__all__ = ["CODE", "TooLate", "diagnose", "patched_too_late"]

REGISTRY = "_active"
CERTAINTIES = ("certain", "likely")
IDENT_MODULES = ("thread", "_thread", "threading")
REFERENCES = ["https://www.gevent.org/api/gevent.monkey.html"]
FIX = """\
Patch before anything else is imported, in the main thread. The first lines of the program's first file:

    from gevent import monkey
    monkey.patch_all()

Or start it as `python -m gevent.monkey PROGRAM`. gunicorn's gevent worker patches by itself when it starts: what
is imported before that (--preload, the configuration file) comes too early."""


class Case(msgspec.Struct, frozen=True):
    """The facts about one KeyError. What is None was not read, and makes the verdict less certain."""

    caught: Caught
    state: ThreadingState
    patch: Patch | None
    threading: TooLate | None

    @property
    def missing(self) -> int | None:
        """The key that was not there: the exception's argument."""
        return _first_argument(self.caught)

    @property
    def stale(self) -> ActiveThread | None:
        """The thread's entry under its native ident, where it should not be found any more."""
        return next((entry for entry in self.state.active if entry.key == self.state.native_ident), None)

    @property
    def off_main(self) -> bool:
        """Whether the patch was applied off the main thread: in this one, or elsewhere if this is the main one."""
        if self.patch is None or self.patch.thread is None:
            return False
        return (self.patch.thread == self.state.native_ident) != self.of_main

    @property
    def of_main(self) -> bool:
        """Whether the thread that lost its entry is the main one; gevent renames only that one's."""
        if self.stale and self.stale.type:
            return self.stale.type.split(".")[-1] == "_MainThread"
        return self.state.main_ident in (None, self.state.native_ident)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each process; its other KeyErrors of the same kind are subjects of the same finding."""
    judged: dict[str, list[tuple[Caught, Finding]]] = {}
    for caught in filter(_is_lost_entry, report.exceptions):
        finding = _judge(report, caught)
        if finding:
            judged.setdefault(caught.process, []).append((caught, finding))
    for group in judged.values():
        _, best = min(group, key=lambda pair: CERTAINTIES.index(pair[1].certainty))
        best.subjects += [made for caught, _ in group for made in subjects(caught)[:1]]
        yield best
    yield from (one for one in find_late(report, FIX) if one.process not in judged)


def _is_lost_entry(caught: Caught) -> bool:
    """A KeyError raised by threading's own code on a line that uses its registry of threads."""
    at = raised_at(caught)
    if type_name(caught.exception) != "KeyError" or at is None or not is_of_module(at, "threading"):
        return False
    return REGISTRY in (at.source or "") if at.source else (at.function or "").endswith("_delete")


def _first_argument(caught: Caught) -> int | None:
    """The integer that the exception carries; 2.7 may write it with an L."""
    args = caught.exception.args if caught.exception else []
    text = (args[0].repr or "").rstrip("L") if args else ""
    return int(text) if text.lstrip("-").isdecimal() else None


def _judge(report: Report, caught: Caught) -> Finding | None:
    state = threading_state(report, caught)
    if state is None or not (state.get_ident_module or "").startswith("gevent"):
        return None
    patch = find_record(report, caught.process, report.imports.patches, _is_of_ident)
    late = pair_up(report, caught.process, "threading", patch) if patch else None
    case = Case(caught, state, patch, late)
    certainty = _certainty(case)
    return _finding(case, certainty) if certainty else None


def _is_of_ident(patch: Patch) -> bool:
    return patch.module in IDENT_MODULES and any(name.endswith("get_ident") for name in patch.attributes)


def _certainty(case: Case) -> Certainty | None:
    """None unless the thread is registered under its native ident, and the key that is missing is another one."""
    missing = case.state.current_ident if case.missing is None else case.missing
    keys = {entry.key for entry in case.state.active}
    if missing is None or missing in keys or missing == case.state.native_ident or case.stale is None:
        return None
    if case.threading and not case.threading.before:
        return None
    read = case.missing is not None and case.missing == case.state.current_ident and case.state.error is None
    if case.missing is not None and case.state.current_ident not in (None, case.missing):
        return None
    return "certain" if read and case.threading and case.threading.patch_at else "likely"


def _finding(case: Case, certainty: Certainty) -> Finding:
    return Finding(
        code=CODE,
        title=_title(case),
        certainty=certainty,
        process=case.caught.process,
        subjects=[subject(frame, kind) for kind, frame in _places(case)],
        evidence=list(_evidence(case)),
        explanation=_explain(case),
        fix=FIX,
        references=REFERENCES,
    )


def _places(case: Case) -> Iterator[tuple[str, Frame]]:
    patch_at = own_frame(case.patch.at) if case.patch else None
    import_at = case.threading.import_at if case.threading else None
    yield from ((kind, frame) for kind, frame in (("import", import_at), ("patch", patch_at)) if frame)


def _title(case: Case) -> str:
    at = dict(_places(case))
    where = f" ({place(at['patch'])})" if "patch" in at else ""
    if case.off_main:
        return f"gevent patched threading off the main thread{where}"
    if not case.of_main:
        name = case.stale.name if case.stale else None
        return f"thread {name or case.state.native_ident} was started before gevent patched threading{where}"
    imported = f" ({place(at['import'])})" if "import" in at else ""
    return f"threading was imported{imported} before gevent patched it{where}"


def _explain(case: Case) -> str:
    who = f"thread {case.stale.name}" if case.stale and case.stale.name else "the thread"
    return (
        f"threading entered {who} in its registry, threading._active, under what get_ident returned at that time: "
        f"the native ident {case.state.native_ident}. Then gevent replaced get_ident by its own, which returns the "
        f"id of the current greenlet. When the thread ended, threading deleted `_active[get_ident()]`: "
        f"{case.missing or case.state.current_ident}, a key under which nothing was ever entered. Hence the KeyError, "
        "and as the interpreter itself had called that code, nobody could catch it."
    )


def _evidence(case: Case) -> Iterator[Evidence]:
    state, late = case.state, case.threading
    yield from evidence(raised_at(case.caught), "KeyError was raised by threading itself, on its registry of threads")
    yield from evidence(late.import_at if late else None, "threading was imported first here")
    if late and late.import_at is None:
        yield Evidence(text="threading was loaded before the program's first line, by a .pth file or by site itself")
    for frame in late.imported.first_importer[1:] if late else []:
        yield from evidence(frame, "which was itself imported here")
    yield from evidence(own_frame(case.patch.at) if case.patch else None, "gevent's patch was applied here, afterwards")
    if case.missing is not None:
        yield Evidence(text="the key that is missing (the exception's argument)", value=str(case.missing))
    if state.current_ident is not None:
        yield Evidence(
            text="what get_ident returns in this thread: the id of its greenlet", value=_hex(state.current_ident)
        )
    yield Evidence(text=f"get_ident is gevent's: {state.get_ident}", value=state.get_ident_module)
    yield Evidence(text="the thread's native ident", value=_hex(state.native_ident))
    yield Evidence(text="the keys of threading._active", value=", ".join(map(_describe, state.active)))
    if case.off_main and case.patch:
        yield Evidence(text="the thread that patched, which is not the main one", value=_hex(case.patch.thread))


def _hex(ident: int | None) -> str:
    return "unknown" if ident is None else f"{ident} ({ident:#x})"


def _describe(entry: ActiveThread) -> str:
    return f"{entry.key} ({entry.name or entry.type or 'unnamed'})"
