"""docker as the tests use it: commands with their output, and containers that are always removed, by their ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import PATIENCE, wait_until
from interpreters import CHECKOUT

SETUP = CHECKOUT / "tools" / "setup"
BUILD_SECONDS = 1800  # a bound for a machine under load, never the time a build takes


class NoDockerError(Exception):
    """docker cannot run here; the message says why."""


@dataclass(frozen=True)
class Done:
    """A docker command that has ended: its exit code and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Both streams, for a failing test."""
        return f"exit code {self.code}\n{self.stdout}\n{self.stderr}"


class Docker:
    """A docker client that a daemon answers."""

    def __init__(self, client: str) -> None:
        self.client = client
        networks = self("network", "ls", "--format", "{{.Name}}").stdout.split()
        self.network = [] if "bridge" in networks else ["--network=host"]  # where a container needs one at all

    def __call__(self, *arguments: str | Path, timeout: float = PATIENCE) -> Done:
        """Any docker command, whatever its exit code."""
        command = [self.client, *map(str, arguments)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, env=_environment()
        )
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def run(self, image: str, *command: str, options: Sequence[str | Path] = (), timeout: float = PATIENCE) -> Done:
        """`docker run --rm OPTIONS IMAGE COMMAND`, to its end, without a network."""
        return self("run", "--rm", *_without_network(options), *options, image, *command, timeout=timeout)

    def start(self, image: str, *command: str, options: Sequence[str | Path] = ()) -> Container:
        """The same in the background. The caller removes it (the fixture `start_container` does)."""
        done = self("run", "--detach", *_without_network(options), *options, image, *command)
        assert done.code == 0, done.said
        return Container(self, done.stdout.strip())


class Container:
    """A container that was started here, by its `id`."""

    def __init__(self, docker: Docker, id: str) -> None:
        self.docker = docker
        self.id = id

    @property
    def pid(self) -> int:
        """The pid of its first process, as the host counts; 0 when it has ended."""
        return int(self.inspect()["State"]["Pid"])

    def inspect(self) -> dict[str, Any]:
        """All that docker knows of it."""
        found: dict[str, Any] = json.loads(self.docker("inspect", self.id).stdout)[0]
        return found

    def logs(self) -> str:
        """What it has said so far, on both streams."""
        done = self.docker("logs", self.id)
        return done.stdout + done.stderr

    def wait_for(self, text: str = "ready") -> Container:
        """Once it has said `text`. AssertionError with all that it said if it ends, or time passes, without."""

        def said() -> bool:
            if text in self.logs():
                return True
            assert self.inspect()["State"]["Running"], f"it ended without saying {text!r}:\n{self.logs()}"
            return False

        wait_until(said, f"the container says {text!r}: {self.logs()}")
        return self

    def execute(self, *command: str, options: Sequence[str] = ()) -> Done:
        """`docker exec`."""
        return self.docker("exec", *options, self.id, *command)

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return int(self.docker("wait", self.id).stdout)

    def remove(self) -> None:
        """Kill it if it runs, and remove it."""
        self.docker("rm", "--force", "--volumes", self.id)


def find_docker() -> Docker:
    """Raises NoDockerError."""
    done = subprocess.run(
        [sys.executable, SETUP / "docker_client.py"], capture_output=True, text=True, check=False, env=_environment()
    )
    if done.returncode:
        raise NoDockerError(done.stderr.strip())
    return Docker(done.stdout.strip())


def build_image(docker: Docker, version: str) -> str:
    """The image of a CPython, as this checkout makes it: `lastwords:X.Y`. AssertionError if it cannot be built."""
    command = [sys.executable, str(SETUP / "images.py"), "build", version]
    env = {**_environment(), "DOCKER": docker.client}
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False, env=env)
    assert done.returncode == 0, done.stderr
    sys.stderr.write(done.stdout)
    return f"lastwords:{version}"


def _without_network(options: Sequence[str | Path]) -> list[str]:
    return [] if any(str(one).startswith(("--network", "--net")) for one in options) else ["--network=none"]


def _environment() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
