"""`exit-waits-for-executor`: the interpreter waits for a worker of a ThreadPoolExecutor or ProcessPoolExecutor."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.diagnose.actors import Actor, stand
from lastwords.diagnose.exits import EXECUTOR, PROCESS_EXECUTOR, Exit, describe_activity, find_exits, tell_joined
from lastwords.model import Evidence, Finding, Process, Report, Thread

CODE = "exit-waits-for-executor"
FEW = 4

EXPLANATION = (
    "On its way out CPython joins the workers of every ThreadPoolExecutor, after they have done all work that was "
    "submitted (concurrent.futures.thread._python_exit). This worker does not come to an end. That the workers are "
    "daemon threads, on CPython 3.8 and older, makes no difference."
)
FIX = (
    "Give the work a timeout, or a way to be told to stop, and call executor.shutdown(cancel_futures=True) before main "
    "ends. What must happen before the join belongs before the end of main: atexit callbacks run after it."
)

PROCESS_EXPLANATION = (
    "On its way out CPython joins the thread that manages a ProcessPoolExecutor, which waits until its processes have "
    "done all work that was submitted (concurrent.futures.process._python_exit). One of them does not come to an end."
)
PROCESS_FIX = (
    "Give the work a timeout, and call executor.shutdown(cancel_futures=True) before main ends. What a worker process "
    "does, `lastwords attach --tree` tells; from 3.14 on executor.terminate_workers() ends them."
)


def diagnose(report: Report) -> Iterator[Finding]:
    """One finding for each process that waits so."""
    for one in find_exits(report):
        if one.joined is not None and one.is_in(EXECUTOR) and not one.chain.cycle:
            found = Finding(code=CODE, title="", certainty=one.certainty, explanation=EXPLANATION, fix=FIX)
            yield tell_joined(one, one.joined, "the executor's worker", found)
        elif one.joined is not None and one.is_in(PROCESS_EXECUTOR) and not one.chain.cycle:
            yield _tell_processes(report, one, one.joined)


def _tell_processes(report: Report, one: Exit, manager: Actor) -> Finding:
    """With what the worker processes do, where they were read."""
    found = Finding(code=CODE, title="", certainty=one.certainty, explanation=PROCESS_EXPLANATION, fix=PROCESS_FIX)
    found = tell_joined(one, manager, "the executor's manager thread", found)
    workers = [process for process in report.processes if process.pid in _find_peers(one, manager)]
    if workers:
        names = ", ".join(str(process.pid) for process in workers[:FEW])
        what = f"its worker process {names}" if len(workers) == 1 else f"its {len(workers)} worker processes ({names})"
        name = one.graph.actors.name(manager.id)
        found.title = f"the exit waits for the executor's manager thread {name}, which waits for {what}"
        found.evidence += _describe_workers(one, workers)
    return found


def _find_peers(one: Exit, manager: Actor) -> set[int]:
    own = one.graph.actors.process(manager.id)
    pids = manager.waits_for.pids if manager.waits_for else None
    return set(pids or ()) - {own.pid if own else 0}


def _describe_workers(one: Exit, workers: list[Process]) -> Iterator[Evidence]:
    mains = [one.graph.actors.main_thread(process.id) for process in workers[:FEW]]
    for main in (main for main in mains if isinstance(main, Thread)):
        text = f"{one.graph.actors.name(main.id)} {describe_activity(main)}"
        yield stand(main, text, depth=len(one.chain.steps) + 1)
