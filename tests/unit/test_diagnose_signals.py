"""`signal-ignored`: signals that change nothing; and near misses, where somebody takes them."""

from __future__ import annotations

from typing import Any

import pytest

from lastwords.diagnose import diagnose
from lastwords.examine.signals import read_mask
from lastwords.model import Descriptor, Finding, Thread
from sample_waits import Scene


def find(scene: Scene) -> Finding | None:
    return next((one for one in diagnose(scene.report) if one.code == "signal-ignored"), None)


def pauses(blocked: list[str] | None, caught: list[str], **thread: Any) -> Scene:  # noqa: ANN401
    scene = Scene(signals_caught=caught)
    main = scene.thread("MainThread", 10, signals_blocked=blocked, **thread)
    scene.waits(main, None, "unknown", call="pause", detail="waits for any signal")
    return scene


def test_a_thread_that_blocks_what_it_waits_for() -> None:
    finding = find(pauses(["SIGTERM", "SIGINT"], ["SIGTERM", "SIGINT"]))
    assert finding is not None
    assert (finding.certainty, finding.subjects[0].line) == ("certain", 10)
    assert finding.title == "MainThread waits for a signal, and blocks those that it handles: SIGTERM"


@pytest.mark.parametrize(
    ("blocked", "caught", "thread"),
    [(["SIGTERM"], ["SIGTERM", "SIGINT"], {}), (["SIGTERM"], ["SIGTERM", "SIG33"], {"consistent": False})],
)
def test_ctrl_c_may_end_it_or_it_ran_since(blocked: list[str], caught: list[str], thread: dict[str, Any]) -> None:
    finding = find(pauses(blocked, caught, **thread))
    assert finding is not None
    assert finding.certainty == "likely"


@pytest.mark.parametrize(
    ("blocked", "caught"),
    [([], ["SIGTERM", "SIGINT"]), (None, ["SIGTERM"]), (["SIGINT"], ["SIGINT"]), (["SIGHUP"], ["SIGHUP", "SIGTERM"])],
)
def test_a_signal_that_ends_it(blocked: list[str] | None, caught: list[str]) -> None:
    assert find(pauses(blocked, caught)) is None


def pending(**process: Any) -> tuple[Scene, list[Thread]]:  # noqa: ANN401
    scene = Scene(signals_pending=["SIGTERM"], **process)
    threads = [scene.thread(name, 3, signals_blocked=["SIGTERM"]) for name in ("MainThread", "worker")]
    for one in threads:
        scene.waits(one, None, "sleep", has_timeout=True)
    return scene, threads


def test_a_signal_that_every_thread_blocks() -> None:
    finding = find(pending()[0])
    assert finding is not None
    assert (finding.certainty, finding.title) == ("likely", "SIGTERM was sent, and every thread blocks it")


def test_a_signal_that_somebody_takes() -> None:
    scene, threads = pending()
    threads[1].signals_blocked = []
    assert find(scene) is None
    scene, threads = pending()
    threads[1].signals_blocked = None  # not read
    assert find(scene) is None
    scene, threads = pending()
    scene.waits(threads[1], None, "unknown", call="rt_sigtimedwait")
    assert find(scene) is None
    assert find(pending(fds=[Descriptor(fd=5, target="anon_inode:[signalfd]")])[0]) is None


def noted(**thread: Any) -> Scene:  # noqa: ANN401
    scene = Scene(signals_noted=["SIGTERM"])
    main = scene.thread("MainThread", 27, **thread)
    scene.waits(main, scene.thread("server"), detail="Thread.join: server")
    return scene


def test_a_handler_that_is_not_called() -> None:
    finding = find(noted())
    assert finding is not None
    assert finding.title == "SIGTERM came, and its handler is not called: MainThread waits: Thread.join: server"


@pytest.mark.parametrize("thread", [{"idle_s": 0.1}, {"consistent": False}, {"idle_s": None}])
def test_a_handler_that_is_about_to_be_called(thread: dict[str, Any]) -> None:
    assert find(noted(**thread)) is None


def test_masks_of_the_kernel() -> None:
    assert read_mask({"SigBlk": "0000000000004001"}, "SigBlk") == ["SIGHUP", "SIGTERM"]
    assert read_mask({"SigBlk": "0" * 16}, "SigBlk") == []
    assert read_mask({}, "SigBlk") is None
