"""Policy: pure functions from a report to findings. Knows the model alone; prints nothing, reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lastwords.collector import no_collection
from lastwords.diagnose import (
    await_cycle,
    callback_failed,
    exception_swallowed,
    exit_callback_blocked,
    exit_waits_for_executor,
    exit_waits_for_process,
    exit_waits_for_thread,
    fatal_exit,
    finalizer_failed,
    gil_held,
    greenlet_stranded,
    healthy,
    hook_failed,
    hub_blocked,
    hub_misuse,
    hub_starved,
    idle,
    interrupt_lost,
    kill_swallowed,
    livelock,
    lock_cycle,
    loop_blocked,
    lost_wakeup,
    monkey_patch_order,
    native_primitive,
    orphaned_lock,
    output_closed,
    pool_starved,
    signal_ignored,
    thread_died,
    thread_stranded,
    too_late,
    waits_for_io,
    waits_for_process,
    waits_on_holder,
)
from lastwords.diagnose.of_pytest import name_tests
from lastwords.diagnose.wait_graph import shared_graph
from lastwords.model import Finding, Report

Diagnosis = Callable[[Report], Iterable[Finding]]

# Cause before symptom: of two findings that are equally certain, the one higher up comes first.
DIAGNOSES: dict[str, Diagnosis] = {
    "monkey-patch-order": monkey_patch_order.diagnose,
    "lock-cycle": lock_cycle.diagnose,
    "await-cycle": await_cycle.diagnose,
    "import-deadlock": lock_cycle.diagnose_imports,
    "orphaned-lock": orphaned_lock.diagnose,
    "fork-held-lock": orphaned_lock.diagnose_forked,
    "lost-wakeup": lost_wakeup.diagnose,
    "gil-held": gil_held.diagnose,
    "native-primitive-under-gevent": native_primitive.diagnose,
    "hub-misuse": hub_misuse.diagnose,
    "kill-swallowed": kill_swallowed.diagnose,
    "hub-blocked": hub_blocked.diagnose,
    "hub-starved": hub_starved.diagnose,
    "greenlet-stranded": greenlet_stranded.diagnose,
    "livelock": livelock.diagnose,
    "exit-waits-for-executor": exit_waits_for_executor.diagnose,
    "exit-waits-for-process": exit_waits_for_process.diagnose,
    "exit-waits-for-thread": exit_waits_for_thread.diagnose,
    "exit-callback-blocked": exit_callback_blocked.diagnose,
    "loop-blocked": loop_blocked.diagnose,
    "pool-starved": pool_starved.diagnose,
    "thread-died": thread_died.diagnose,
    "thread-stranded": thread_stranded.diagnose,
    "waits-on-holder": waits_on_holder.diagnose,
    "waits-for-process": waits_for_process.diagnose,
    "waits-for-io": waits_for_io.diagnose,
    "signal-ignored": signal_ignored.diagnose,
    "fatal-exit": fatal_exit.diagnose,
    "interrupt-lost": interrupt_lost.diagnose,
    "too-late": too_late.diagnose,
    "hook-failed": hook_failed.diagnose,
    "output-closed": output_closed.diagnose,
    "callback-failed": callback_failed.diagnose,
    "finalizer-failed": finalizer_failed.diagnose,
}
CERTAINTIES = ("certain", "likely", "possible")


def diagnose(report: Report) -> list[Finding]:
    """The findings, the answer first: certain before likely, cause before symptom.

    An exception that a finding explains is not told again by a symptom further down. Those that nothing explains
    better than as a possibility are `exception-swallowed`; where nothing was found at all, the one finding is
    `healthy`. Of a moment that is so only where each program does what programs do that are not stuck: what waits for
    something that nobody here can tell is neither.
    """
    with no_collection(), shared_graph(report):
        return name_tests(report, _diagnose(report))


def _diagnose(report: Report) -> list[Finding]:
    found = [finding for judge in DIAGNOSES.values() for finding in judge(report)]
    explained = {name for finding in found if finding.certainty != "possible" for name in _exceptions(finding)}
    found += exception_swallowed.diagnose(report, explained)
    found.sort(key=lambda finding: CERTAINTIES.index(finding.certainty))
    return list(_merge(_without_symptoms(found))) or list((idle if _is_moment(report) else healthy).diagnose(report))


def _is_moment(report: Report) -> bool:
    return report.mode in ("attach", "core") or any(one.reason == "hang" for one in report.moments)


def is_healthy(report: Report) -> bool:
    """True if none of the report's findings says that something is wrong."""
    return all(finding.code == healthy.CODE for finding in report.findings)


def _exceptions(finding: Finding) -> set[str]:
    """The ids of the caught exceptions that a finding is about."""
    return {subject.id for subject in finding.subjects if subject.kind == "exception" and subject.id}


def _without_symptoms(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Drops a finding if each of its exceptions has been told by one that is nearer to the cause."""
    order = [*DIAGNOSES, exception_swallowed.CODE]
    told: dict[str, int] = {}
    for finding in findings:
        about, rank = _exceptions(finding), order.index(finding.code)
        if about and all(told.get(name, len(order)) < rank for name in about):
            continue
        told.update({name: min(rank, told.get(name, rank)) for name in about})
        yield finding


def _merge(findings: Iterable[Finding]) -> Iterator[Finding]:
    """What happened again at the same place is one finding: the first, which is then about all of the exceptions."""
    merged: dict[tuple[str | None, ...], Finding] = {}
    for finding in findings:
        first = merged.setdefault((finding.code, finding.title, finding.certainty, finding.process), finding)
        if first is not finding:
            first.subjects += [subject for subject in finding.subjects if subject not in first.subjects]
    return iter(merged.values())
