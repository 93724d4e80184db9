"""Who waits for what and who holds it: the readers' waits and holds as relations between the report's entities."""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.capture.captured import Captured
from lastwords.capture.kernel.facts import Facts
from lastwords.capture.memory import ReadError
from lastwords.cpython import Interpreter
from lastwords.cpython.code import read_frame
from lastwords.cpython.frame import Place
from lastwords.cpython.gil import read_gil
from lastwords.cpython.holding.holds import Hold, find_holds
from lastwords.cpython.holding.unknown_takes import find_unknown_take
from lastwords.cpython.locks import LockState, find_attributes, read_lock
from lastwords.cpython.names import find_name
from lastwords.cpython.text import read_text
from lastwords.cpython.threads import PythonThread
from lastwords.cpython.waiting.waits import Wait, read_waits
from lastwords.examine.entities import Entities, tolerated
from lastwords.model import Edge, Gil, Thread, WaitsFor

NAME_LIMIT = 200  # characters


def add_relations(
    entities: Entities,
    interp: Interpreter,
    captured: Captured,
    facts: Facts | None,
    threads: Sequence[PythonThread],
) -> None:
    """The GIL, what each thread waits for, and which locks it holds."""
    moment = entities.moment
    with tolerated(moment, "the GIL"):
        _add_gil(entities, interp, threads)
    waits: list[Wait] = []
    with tolerated(moment, "what threads wait for"):
        waits = read_waits(interp, threads, captured, facts)
    by_id = {thread.id: thread for thread in entities.threads()}
    places = {thread.ident: thread.places for thread in threads}
    for wait in waits:
        with tolerated(moment, "a lock that is waited for"):
            thread = by_id.get(entities.thread_id(wait.tid, wait.ident))
            if thread is None:
                raise ReadError(f"thread {wait.tid} is none of those that were listed")
            _add_wait(entities, interp, thread, wait, places.get(wait.ident or 0, []))
    with tolerated(moment, "who holds which lock"):
        for hold in find_holds(interp, threads, waits):
            _add_hold(entities, interp, by_id[entities.state_id(hold.thread)], hold)
        for one in threads:
            by_id[entities.state_id(one)].may_hold = find_unknown_take(interp, one.places)


def _add_gil(entities: Entities, interp: Interpreter, threads: Sequence[PythonThread]) -> None:
    """The main interpreter's GIL is the moment's; an interpreter with one of its own shows who holds it."""
    locks = read_gil(interp, threads)
    if not locks:  # no thread could be read
        return
    by_state = {one.tstate: entities.state_id(one) for one in threads}
    holders = [by_state.get(lock.holder or 0) for lock in locks]
    waiters = [by_state[one.tstate] for one in locks[0].waiters]
    entities.moment.gil = Gil(holder=holders[0], waiters=waiters)
    for thread in entities.threads():
        if thread.interpreter is not None:
            thread.holds_gil = thread.id in holders


def _add_wait(entities: Entities, interp: Interpreter, thread: Thread, wait: Wait, places: Sequence[Place]) -> None:
    is_for_thread = wait.kind == "join" or (wait.kind == "import_lock" and not wait.object)  # 2.7: one for all modules
    target = entities.find_thread(wait.target) if is_for_thread else None
    if target is None and wait.object:
        lock = read_lock(interp, wait.object)
        target = entities.add_lock(lock, lambda: _find_name(interp, places, lock)) if lock else None
    thread.waits_for = WaitsFor(
        kind=wait.kind,
        target=target,
        detail=wait.detail,
        certainty=wait.certainty,
        call=wait.call,
        until=wait.until,
        has_timeout=wait.has_timeout,
        serves=wait.serves,
        pid=wait.target if wait.kind in ("process", "io") else None,
        function=wait.function,
        pids=list(wait.pids) if wait.pids is not None else None,
        woken=wait.woken,
    )
    if target is None:
        return
    entities.add_edge(Edge(origin=thread.id, to=target, kind="waits", certainty=wait.certainty, evidence=wait.detail))
    shutdown = entities.moment.shutdown
    if thread.is_main and shutdown and shutdown.phase == "shutdown":
        shutdown.waits_for = target


def _find_name(interp: Interpreter, places: Sequence[Place], lock: LockState) -> str | None:
    """Of the lock of a module the module's, whatever importlib calls it."""
    name = find_attributes(interp, lock.address).get("name") if lock.kind == "module_lock" else None
    return read_text(interp, name, NAME_LIMIT) if name else find_name(interp, places, lock.address)


def _add_hold(entities: Entities, interp: Interpreter, thread: Thread, hold: Hold) -> None:
    lock = read_lock(interp, hold.lock)
    if lock is not None:
        target = entities.add_lock(lock, lambda: _find_name(interp, hold.thread.places, lock))
        thread.holds.append(target)
        at = read_frame(interp, hold.place.code, hold.took) if hold.place else None
        entities.add_edge(
            Edge(origin=thread.id, to=target, kind="holds", certainty=hold.certainty, evidence=hold.evidence, at=at)
        )
