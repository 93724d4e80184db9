"""`lastwords attach` from a sidecar, and from the host: other CPythons, other C libraries, other users, other files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from docker.harness import Container, Docker
from docker.sidecar import CASES, MUSL, WAYS, Case, Facts, Way, attach, import_root, read_facts, say_wrong, start_case
from interpreters import BUILT
from needs import need

Image = Callable[[str], str]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    is_built = (BUILT / found.name).exists() and (found.name != "musl3.13" or MUSL.exists())
    need(found.is_ours or is_built, f"{found.name}: make pythons, and tools/setup/musl.py for musl3.13")
    return found


@pytest.fixture(scope="module")
def started(docker: Docker, image: Image, case: Case) -> Iterator[tuple[Container, Facts]]:
    """The case's container, and what its program says of itself."""
    name = image(case.image) if case.image else import_root(docker, case)
    container = start_case(docker, case, name)
    try:
        yield container, read_facts(container)
    finally:
        container.remove()
        if not case.is_ours:
            docker("rmi", name)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_everything_is_told(
    docker: Docker, image: Image, case: Case, way: Way, started: tuple[Container, Facts]
) -> None:
    need(way.image or os.geteuid() == 0, "root, to look into a container from outside")
    container, facts = started
    report = attach(docker, way, image(way.image) if way.image else None, case, container)
    assert say_wrong(report, facts) == {}
    assert container.inspect()["State"]["Running"]


def test_what_is_wrong_is_noticed(docker: Docker, image: Image, case: Case, started: tuple[Container, Facts]) -> None:
    container, facts = started
    report = attach(docker, WAYS[0], image("3.13"), case, container)
    others = {**facts, "locks": {"holds": 1, "wants": 2}, "child": 1, "cwd": "/nowhere"}
    assert say_wrong(report, others).keys() == {"locks", "who holds", "child", "cwd"}
    for thread in report["threads"]:
        thread["stack"] = []
    assert len([name for name in say_wrong(report, facts) if name.startswith("line of ")]) == len(facts["idents"])
