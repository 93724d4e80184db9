"""Which stops of one thread are one event: functions that call each other for the same exception."""

from __future__ import annotations

import pytest

from lastwords.watch.stops import OpenStops, Stop, stop_from_event

OTHER = 0x7000


def stop(function: str, sp: int, tid: int = 1) -> Stop:
    return Stop(pid=1, tid=tid, function=function, signal=None, registers={"sp": sp})


@pytest.fixture
def opened() -> OpenStops:
    return OpenStops()


def test_a_jump_to_the_next_function_is_the_same_event(opened: OpenStops) -> None:
    assert opened.is_news(stop("PyErr_WriteUnraisable", 100), OTHER)
    assert not opened.is_news(stop("_PyErr_WriteUnraisableMsg", 100), OTHER)


def test_the_same_function_again_at_the_same_depth_is_another_event(opened: OpenStops) -> None:
    assert opened.is_news(stop("_PyErr_WriteUnraisableMsg", 100), OTHER)
    assert opened.is_news(stop("_PyErr_WriteUnraisableMsg", 100), OTHER)


def test_what_a_printing_function_calls_for_the_same_exception_is_the_same_event(opened: OpenStops) -> None:
    assert opened.is_news(stop("PyErr_PrintEx", 100), OTHER)
    assert not opened.is_news(stop("PyErr_Display", 50), OTHER)
    assert not opened.is_news(stop("_PyErr_Display", 40), OTHER)


def test_an_exception_that_is_no_instance_yet_may_become_one_on_the_way(opened: OpenStops) -> None:
    assert opened.is_news(stop("PyErr_PrintEx", 100), 0)
    assert not opened.is_news(stop("PyErr_Display", 50), OTHER)


def test_another_exception_printed_by_a_failing_hook_is_news_and_the_first_one_is_not(opened: OpenStops) -> None:
    assert opened.is_news(stop("PyErr_PrintEx", 100), OTHER)
    assert opened.is_news(stop("PyErr_Display", 50), OTHER + 1)
    assert not opened.is_news(stop("PyErr_Display", 50), OTHER)


def test_an_exception_swallowed_while_another_is_printed_is_news(opened: OpenStops) -> None:
    assert opened.is_news(stop("PyErr_PrintEx", 100), OTHER)
    assert opened.is_news(stop("PyErr_FormatUnraisable", 50), OTHER)


def test_a_function_that_has_returned_encloses_nothing(opened: OpenStops) -> None:
    assert opened.is_news(stop("PyErr_PrintEx", 50), OTHER)
    assert opened.is_news(stop("PyErr_Display", 100), OTHER)


def test_threads_do_not_enclose_each_other(opened: OpenStops) -> None:
    assert opened.is_news(stop("PyErr_PrintEx", 100, tid=1), OTHER)
    assert opened.is_news(stop("PyErr_Display", 50, tid=2), OTHER)


def test_an_event_of_gdbs_becomes_a_stop() -> None:
    event = {"pid": 7, "tid": 8, "location": "PyErr_Display", "signal": None, "registers": {"rsi": 5, "fs_base": 9}}
    read = stop_from_event(event)
    assert (read.pid, read.tid, read.family, read.argument(1), read.ident) == (7, 8, "printed", 5, 9)


def test_nothing_stays_open_in_a_process_that_runs_another_program(opened: OpenStops) -> None:
    assert opened.is_news(stop("PyErr_PrintEx", 100), OTHER)
    opened.forget(1)
    assert opened.is_news(stop("PyErr_Display", 50), OTHER)


def test_what_c_code_raises_is_another_than_an_instance(opened: OpenStops) -> None:
    """A failing sys.unraisablehook on 3.8: its exception is shown as a type with its argument."""
    assert opened.is_news(stop("_PyErr_WriteUnraisableMsg", 100), OTHER)
    assert opened.is_news(stop("write_unraisable_exc_file", 50), 0)
