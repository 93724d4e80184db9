"""livelock: a thread that tries in vain while all others wait for it, and near misses."""

from __future__ import annotations

from lastwords.diagnose import diagnose
from lastwords.model import Edge, Frame, Sample, Thread
from sample_waits import APP, Scene, livelock


def codes(scene: Scene) -> list[tuple[str, str]]:
    return [(one.code, one.certainty) for one in diagnose(scene.report)]


def visitor(scene: Scene) -> Thread:
    return next(one for one in scene.report.threads if one.name == "visitor")


def test_it_tries_while_all_others_wait_for_it() -> None:
    finding = diagnose(livelock().report)[0]
    assert (finding.code, finding.certainty) == ("livelock", "likely")
    assert finding.title == (
        "visitor tries for lock door again and again at /srv/app.py:8, which nobody will give back"
    )
    assert [(one.text, one.line) for one in finding.evidence] == [
        ("visitor tries to take it; it was taken in each of 5 looks", 8),
        ("MainThread waits for it, directly or not", 13),
    ]


def test_one_other_that_runs_could_give_it_back() -> None:
    scene = livelock()
    scene.thread("busy")
    assert "livelock" not in dict(codes(scene))


def test_one_other_that_waits_for_a_time_could() -> None:
    scene = livelock()
    main = scene.report.threads[0]
    assert main.waits_for is not None
    main.waits_for.has_timeout = True
    assert "livelock" not in dict(codes(scene))


def test_a_condition_of_the_library_waits_so_for_a_time() -> None:
    scene = livelock()
    edge = next(one for one in scene.report.edges if one.kind == "references")
    edge.at = Frame(kind="python", function="wait", file="/usr/lib/python3.11/threading.py", line=321)
    assert "livelock" not in dict(codes(scene))
    edge.at.file = "/srv/locks.py"
    assert "livelock" in dict(codes(scene))


def test_it_has_the_lock_itself() -> None:
    scene = livelock()
    scene.holds(visitor(scene), scene.report.objects[0])
    assert "livelock" not in dict(codes(scene))
    scene = livelock()
    scene.holds(visitor(scene), scene.report.objects[0], certainty="likely")  # its acquire() may have succeeded
    assert codes(scene)[0] == ("livelock", "likely")


def test_the_lock_is_free_by_now_or_it_was_hardly_looked_at() -> None:
    scene = livelock()
    scene.report.objects[0].locked = False
    assert "livelock" not in dict(codes(scene))
    scene = livelock()
    scene.report.samples = scene.report.samples[:2]
    assert "livelock" not in dict(codes(scene))


def test_a_thread_that_is_alone() -> None:
    scene = Scene()
    main, lock = scene.thread("MainThread", 8, state="running"), scene.lock("door")
    at = Frame(kind="python", file=APP, line=8)
    scene.report.edges.append(
        Edge(origin=main.id, to=lock.id, kind="references", certainty="likely", evidence="tries to take it", at=at)
    )
    scene.report.samples = [Sample(moment="moment-1", thread=main.id) for _ in range(5)]
    assert "livelock" not in dict(codes(scene))
