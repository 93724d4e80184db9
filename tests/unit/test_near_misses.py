"""Each finding code has a near miss: a test of a report that is almost so, and must not get that finding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lastwords.diagnose import DIAGNOSES, exception_swallowed, healthy
from lastwords.model import Finding

HERE = Path(__file__).parent
NEAR_MISSES = {
    "monkey-patch-order": "test_a_near_miss_gets_another_verdict",
    "lock-cycle": "test_a_wait_with_a_timeout_makes_no_cycle",
    "await-cycle": "test_a_chain_is_no_cycle",
    "import-deadlock": "test_an_import_that_somebody_else_is_in_the_middle_of",
    "orphaned-lock": "test_a_free_lock_is_not_orphaned",
    "fork-held-lock": "test_a_thread_that_a_fork_left_behind_holds_nothing",
    "lost-wakeup": "test_what_is_not_there_or_may_not_be",
    "gil-held": "test_the_gil_is_held_over_a_wait",
    "native-primitive-under-gevent": "test_a_native_lock_that_another_thread_has",
    "hub-misuse": "test_near_misses_of_misuse",
    "kill-swallowed": "test_a_kill_that_is_not_over",
    "hub-blocked": "test_what_is_over_soon_and_what_waits_for_the_gil",
    "hub-starved": "test_it_gives_way",
    "greenlet-stranded": "test_somebody_could_still_set_it",
    "livelock": "test_one_other_that_runs_could_give_it_back",
    "exit-waits-for-executor": "test_who_waits_so_before_the_exit",
    "exit-waits-for-process": "test_who_waits_so_before_the_exit",
    "exit-waits-for-thread": "test_who_waits_so_before_the_exit",
    "exit-callback-blocked": "test_who_waits_so_before_the_exit",
    "loop-blocked": "test_a_moment_s_wait_blocks_nothing",
    "pool-starved": "test_a_worker_that_works_one_that_waits_for_a_time_and_one_without_work",
    "thread-died": "test_somebody_is_left_who_may_do_it",
    "thread-stranded": "test_something_is_left_that_may_wake_it",
    "waits-on-holder": "test_a_holder_that_waits_for_something_else",
    "waits-for-process": "test_a_supervisor_of_a_server_is_healthy",
    "waits-for-io": "test_calls_of_which_it_is_not_known_whom_they_wait_for",
    "signal-ignored": "test_a_signal_that_somebody_takes",
    "fatal-exit": "test_being_killed_from_outside_is_no_crash",
    "interrupt-lost": "test_an_interrupt_that_ended_the_program_was_not_lost",
    "too-late": "test_the_programs_own_end_is_not_too_late",
    "hook-failed": "test_a_missing_sys_hook_did_not_fail",
    "output-closed": "test_other_files_are_not_the_programs_output",
    "callback-failed": "test_an_extension_that_drops_its_own_exception_called_nobody_back",
    "finalizer-failed": "test_a_finalizer_of_an_outer_level_is_not_to_blame",
    exception_swallowed.CODE: "test_an_extension_that_prints_by_itself_swallowed_nothing_unseen",
    healthy.CODE: "test_what_is_fine_and_what_nobody_can_tell",
}


def find_tests() -> dict[str, Callable[..., None]]:
    """The tests of diagnoses, by name: of copies of their modules, so that what they change is theirs."""
    found: dict[str, Callable[..., None]] = {}
    for path in sorted(HERE.glob("test_diagnose*.py")):
        module = ModuleType(path.stem)
        exec(compile(path.read_text(), path, "exec"), module.__dict__)
        found |= {name: one for name, one in vars(module).items() if name.startswith("test_")}
    return found


def find_missing(codes: set[str], near_misses: dict[str, str]) -> set[str]:
    """The codes without a near miss that there is."""
    tests = find_tests()
    return {code for code in codes if near_misses.get(code) not in tests}


def calls(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """The arguments of each run of a test, by its `parametrize` marks."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    for chosen in itertools.product(*(mark.args[1] for mark in marks)):
        arguments: dict[str, Any] = {}
        for mark, values in zip(marks, chosen, strict=True):
            is_one = isinstance(mark.args[0], str)
            arguments |= {mark.args[0]: values} if is_one else dict(zip(mark.args[0], values, strict=True))
        yield arguments


def notices(test: Callable[..., None], code: str) -> bool:
    """Whether one of the test's runs fails while each report is said to have that finding."""
    judge = DIAGNOSES[code]
    DIAGNOSES[code] = lambda report: [Finding(code=code, title="always", certainty="certain")]
    try:
        return any(fails(test, arguments) for arguments in calls(test))
    finally:
        DIAGNOSES[code] = judge


def fails(test: Callable[..., None], arguments: dict[str, Any]) -> bool:
    try:
        test(**arguments)
    except AssertionError:
        return True
    return False


def test_each_code_has_a_near_miss() -> None:
    assert find_missing({*DIAGNOSES, exception_swallowed.CODE, healthy.CODE}, NEAR_MISSES) == set()


def test_a_code_without_one_would_be_found() -> None:
    assert find_missing({"lock-cycle", "new-code"}, NEAR_MISSES) == {"new-code"}
    assert find_missing({"lock-cycle"}, {"lock-cycle": "test_that_is_nowhere"}) == {"lock-cycle"}


@pytest.mark.parametrize("code", DIAGNOSES)
def test_a_near_miss_fails_where_its_finding_is_always_told(code: str) -> None:
    name = NEAR_MISSES[code]
    assert notices(find_tests()[name], code)
    test = find_tests()[name]
    assert not any(fails(test, arguments) for arguments in calls(test)), "else it notices nothing"


def test_a_test_that_looks_for_something_else_is_seen() -> None:
    assert not notices(lambda: None, "lock-cycle")
