"""Fixtures of the tests of images.

def test_x(docker, image, start_container):
    docker.run(image("3.13"), "lastwords", "--version").stdout
    target = start_container(image("2.7"), "python", "-c", "...").wait_for("ready")      removed with the test
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from docker.harness import Container, Docker, NoDockerError, build_image, find_docker
from needs import lack

PLACE = "tests/docker"
BUILDS = 1800  # seconds: the first test that wants an image waits for its build


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """They take minutes and a daemon, so they run where they are named: `pytest tests/docker`."""
    return None if any(PLACE in argument for argument in config.args) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if PLACE in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(BUILDS))


@pytest.fixture(scope="session")
def docker() -> Docker:
    """A docker that works; without one the test skips, under CI it fails, and says why."""
    try:
        return find_docker()
    except NoDockerError as error:
        lack(f"docker: {error}")


@pytest.fixture(scope="session")
def image(docker: Docker) -> Callable[[str], str]:
    """image("3.13"): the name of that CPython's image, built of this checkout once in a session."""

    @cache
    def build(version: str) -> str:
        return build_image(docker, version)

    return build


@pytest.fixture
def start_container(docker: Docker) -> Iterator[Callable[..., Container]]:
    """start_container(image, *command, options=()): a Container, removed with the test."""
    with ExitStack() as containers:

        def start(image: str, *command: str, options: Sequence[str] = ()) -> Container:
            container = docker.start(image, *command, options=options)
            containers.callback(container.remove)
            return container

        yield start
