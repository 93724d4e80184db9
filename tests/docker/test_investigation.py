"""`docker run IMAGE`: the investigation, for anybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from docker.harness import Docker
from docker.test_images import every_image

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
Image = Callable[[str], str]
EVERYTHING_FORBIDDEN = ("--user=12345:0", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


def _check_report(version: str, said: str) -> None:
    assert "monkey-patch-order, certain" in said
    assert "KeyError" in said
    assert "The shutdown, as hunter saw it:" in said
    if version == "2.7":
        assert said.startswith("threading was imported (original.py:3) before gevent patched it (original.py:7)\n")
        assert "CPython 2.7.18, gevent 1.0.2" in said
        for frame in ("PyErr_WriteUnraisable (errors.c:", "wait_for_thread_shutdown (pythonrun.c:", "main (python.c:"):
            assert frame in said
    else:
        assert "today.py" in said


@every_image
def test_it_finds_what_there_is(docker: Docker, image: Image, version: str) -> None:
    done = docker.run(image(version))
    assert done.code == 0, done.said
    _check_report(version, done.stdout)


@every_image
@pytest.mark.parametrize("options", [("--user=lastwords",), EVERYTHING_FORBIDDEN], ids=["user", "all forbidden"])
def test_it_needs_no_right(docker: Docker, image: Image, version: str, options: tuple[str, ...]) -> None:
    done = docker.run(image(version), options=options)
    assert done.code == 0, done.said
    _check_report(version, done.stdout)


def test_where_the_kernel_forbids_ptrace(docker: Docker, image: Image, tmp_path: Path) -> None:
    """As old container engines do by default: the message names the flag, and the program runs."""
    profile = tmp_path / "seccomp.json"
    forbidden = {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [forbidden]}))
    done = docker.run(image("2.7"), options=[f"--security-opt=seccomp={profile}"])
    assert done.code == 1
    assert "Exception KeyError: KeyError(" in done.stderr
    messages = [line for line in done.stderr.splitlines() if not line.startswith("Exception KeyError")]
    assert "\n".join(messages) + "\n" == (GOLDEN / "image_no_ptrace.txt").read_text()
