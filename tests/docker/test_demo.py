"""The tour of docker/demo: `docker compose up` ends with a report of who waits for whom."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence

import pytest

from docker.harness import Docker
from interpreters import CHECKOUT
from needs import lack

DEMO = CHECKOUT / "docker" / "demo"
SECONDS = 120  # a bound for a machine under load


class Compose:
    """One project of compose. `command` is `docker compose`, or `docker-compose` of old, which reads the same file."""

    def __init__(self, command: Sequence[str], project: str, images: str) -> None:
        self.command = [*command, "--project-name", project]
        self.environment = {**os.environ, "APP_IMAGE": images, "LASTWORDS_IMAGE": images}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Any command, to its end, whatever its exit code."""
        return subprocess.run(
            [*self.command, *arguments],
            cwd=DEMO,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


def find_compose(docker: Docker) -> list[str]:
    """The plugin of docker, or the program that was before it; without one the test skips, under CI it fails."""
    if docker("compose", "version").code == 0:
        return [docker.client, "compose"]
    if shutil.which("docker-compose") is None:
        lack("docker compose (the plugin, or docker-compose 1.29)")
    return ["docker-compose"]


@pytest.fixture
def compose(docker: Docker, image: Callable[[str], str]) -> Iterator[Compose]:
    project = Compose(find_compose(docker), f"lastwords-demo-{os.getpid()}", image("3.13"))
    yield project
    project("down", "--volumes", "--timeout", "1")


def find_container(compose: Compose, service: str) -> str:
    """Its id, of the one that `up` started."""
    return compose("ps", "--all", "--quiet", service).stdout.split()[0]


def logs(compose: Compose, service: str) -> str:
    return compose("logs", "--no-color", service).stdout


def test_the_tour(docker: Docker, compose: Compose) -> None:
    started = compose("up", "--detach")
    assert started.returncode == 0, started.stderr
    code = docker("wait", find_container(compose, "lastwords")).stdout.strip()
    report = logs(compose, "lastwords")
    assert code == "0", report
    assert "all answered" in logs(compose, "load") and "No answer" in logs(compose, "load")
    assert "deadlock: " in report and report.count("with payee.lock:") >= 2 and "with payer.lock" in report

    described = compose("run", "--rm", "--no-deps", "-T", "lastwords", "attach", "1", "--json", "-", "--locals")
    assert_deadlock(described.stdout)
    looked = compose("run", "--rm", "--no-deps", "-T", "lastwords", "doctor", "1")
    assert looked.returncode == 0 and "lastwords attach 1" in looked.stdout, looked.stdout + looked.stderr
    assert_told_what_is_missing(docker, compose, compose.environment["LASTWORDS_IMAGE"])


def assert_deadlock(text: str) -> None:
    """Each of two threads, named after its request, waits for the lock that the other one holds: certainly."""
    report = json.loads(text)
    threads = {thread["id"]: thread for thread in report["threads"]}
    held = {
        edge["to"]: edge["from"]
        for edge in report["edges"]
        if edge["kind"] == "holds" and edge["certainty"] == "certain"
    }
    waits = {
        edge["from"]: held.get(edge["to"])
        for edge in report["edges"]
        if edge["kind"] == "waits" and edge["from"] in threads
    }
    both = [one for one, other in waits.items() if other is not None and waits.get(other) == one]
    assert sorted(threads[one]["name"].partition("&id=")[0] for one in both) == [
        "/transfer?from=alice&to=bob", "/transfer?from=bob&to=alice",
    ]  # fmt: skip
    assert [finding["code"] for finding in report["findings"]][:1] == ["lock-cycle"]


def assert_told_what_is_missing(docker: Docker, compose: Compose, image: str) -> None:
    """Without the capability, `doctor 1` names it; as the program's own user, nothing is needed at all."""
    pid = f"--pid=container:{find_container(compose, 'app')}"
    refused = docker.run(image, "doctor", "1", options=[pid])
    assert refused.code == 4, refused.said
    assert "it belongs to user 1000, lastwords runs as user 0 without CAP_SYS_PTRACE" in refused.stdout
    assert "docker run --rm --pid=container:NAME --cap-add=SYS_PTRACE lastwords attach 1" in refused.stdout
    hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    needed = ["--cap-add=SYS_PTRACE", "--cap-add=DAC_READ_SEARCH"]
    for options in ([pid, *hardened, *needed], [pid, *hardened, "--user=1000"]):
        allowed = docker.run(image, "attach", "1", options=options)
        assert "deadlock: " in allowed.stdout, allowed.said
    half = docker.run(image, "doctor", "1", options=[pid, *hardened, needed[0]])
    assert half.code == 0 and "--cap-add=DAC_READ_SEARCH" in half.stdout, half.said
