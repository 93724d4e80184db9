"""pool-starved: pools whose workers all wait for their own queue, and near misses."""

from __future__ import annotations

from lastwords.diagnose import diagnose
from lastwords.model import Certainty, Edge, Object, Thread
from sample_waits import Scene


class Pools(Scene):
    """A process with a pool; its work and its workers are added by name."""

    def pool(self, name: str = "pool", *workers: Thread) -> Object:
        one = Object(id=name, moment="moment-1", kind="pool", type="ThreadPoolExecutor", count=2, address=0x500)
        self.report.objects.append(one)
        for worker in workers:
            self.refers(worker.id, name)
        return one

    def refers(self, origin: str, to: str, certainty: Certainty = "certain") -> None:
        self.report.edges.append(Edge(origin=origin, to=to, kind="references", certainty=certainty))

    def queued(self, name: str, pool: Object, certainty: Certainty = "certain") -> Object:
        one = self.lock(name, "future", locked=None)
        self.refers(pool.id, one.id, certainty)
        return one


def starved(*, certainty: Certainty = "certain", has_timeout: bool = False) -> Pools:
    """Two workers, and main behind them."""
    scene = Pools()
    main, first, second = scene.thread("MainThread", 3), scene.thread("first", 8), scene.thread("second", 9)
    pool = scene.pool("pool", first, second)
    scene.waits(first, scene.queued("a", pool, certainty), "condition")
    scene.waits(second, scene.queued("b", pool), "condition", has_timeout=has_timeout)
    outer = scene.lock("outer", "future", locked=None)
    scene.holds(first, outer)
    scene.waits(main, outer, "condition")
    return scene


def codes(scene: Scene) -> list[tuple[str, str]]:
    return [(one.code, one.certainty) for one in diagnose(scene.report)]


def test_all_workers_wait_for_the_queue() -> None:
    finding = diagnose(starved().report)[0]
    assert (finding.code, finding.certainty) == ("pool-starved", "certain")
    assert finding.title == "all 2 workers of a ThreadPoolExecutor wait for work that is still in its queue"
    assert [(one.name, one.line) for one in finding.subjects] == [("first", 8), ("second", 9)]
    assert ("MainThread waits behind them", 3) in [(one.text, one.line) for one in finding.evidence]


def test_the_only_worker() -> None:
    scene = Pools()
    only = scene.thread("only", 8)
    scene.waits(only, scene.queued("a", scene.pool("pool", only)), "condition")
    assert codes(scene)[0] == ("pool-starved", "certain")
    assert diagnose(scene.report)[0].title.startswith("the only worker, only, of a ThreadPoolExecutor waits")


def test_a_worker_that_waits_behind_a_lock_is_not_said_to_wait_for_work_itself() -> None:
    scene = Pools()
    main, only, lock = scene.thread("MainThread", 3), scene.thread("only", 8), scene.lock("settings")
    scene.waits(main, scene.queued("a", scene.pool("pool", only)), "condition")
    scene.holds(main, lock)
    scene.waits(only, lock)
    finding = diagnose(scene.report)[0]
    assert finding.title == (
        "the only worker, only, of a ThreadPoolExecutor waits for lock settings, held by MainThread, which waits for "
        "work that is still in its queue"
    )
    assert "with a lock in hand" in (finding.fix or "")
    assert "with a lock in hand" not in (diagnose(starved().report)[0].fix or "")


def test_it_is_as_certain_as_what_is_least_so() -> None:
    assert ("pool-starved", "likely") in codes(starved(certainty="likely"))
    scene = starved()
    scene.moment.capture.complete = False
    assert ("pool-starved", "likely") in codes(scene)
    scene = starved()
    scene.report.threads[1].consistent = False
    assert ("pool-starved", "likely") in codes(scene)


def test_a_worker_that_works_one_that_waits_for_a_time_and_one_without_work() -> None:
    scene = starved()
    scene.refers(scene.thread("busy").id, "pool")
    assert "pool-starved" not in dict(codes(scene))
    assert "pool-starved" not in dict(codes(starved(has_timeout=True)))
    scene = starved()
    idle = scene.thread("idle")
    scene.refers(idle.id, "pool")
    scene.waits(idle, scene.lock("queue", "simple_queue", locked=None), "queue")
    assert "pool-starved" not in dict(codes(scene))


def test_work_of_another_pool() -> None:
    scene = Pools()
    first, second = scene.thread("first"), scene.thread("second")
    scene.waits(second, None, serves=False)
    pool = scene.pool("pool", first)
    scene.queued("a", pool)
    scene.pool("back", second)
    theirs = scene.lock("theirs", "future", locked=None)
    scene.holds(second, theirs)
    scene.waits(first, theirs, "condition")
    assert "pool-starved" not in dict(codes(scene))


def test_a_worker_that_waits_for_another_of_the_pool_which_waits_for_the_queue() -> None:
    scene = Pools()
    first, second = scene.thread("first"), scene.thread("second")
    pool = scene.pool("pool", first, second)
    scene.waits(second, scene.queued("a", pool), "condition")
    works = scene.lock("works", "future", locked=None)
    scene.holds(second, works)
    scene.waits(first, works, "condition")
    assert codes(scene)[0] == ("pool-starved", "certain")


def test_one_who_waits_for_a_future_waits_for_no_lock() -> None:
    scene = Pools()
    main, worker = scene.thread("MainThread"), scene.thread("worker")
    future = scene.lock("future", "future", locked=None)
    scene.holds(worker, future)
    scene.waits(main, future, "condition")
    scene.waits(worker, None, serves=True, call="accept")
    assert codes(scene) == [("healthy", "likely")]
