"""What `make image` and `make test-docker` say where docker cannot run: one message with the way out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from interpreters import CHECKOUT

SETUP = CHECKOUT / "tools" / "setup"
# What docker itself says, from 20.10 and 28.2.
NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
NO_PERMISSION = (
    "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: "
    "dial unix /var/run/docker.sock: connect: permission denied"
)
NO_BUILDX = "docker: 'buildx' is not a docker command."
NOBODY = 65534


def _fake(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def _fake_docker(folder: Path, version: str = "20.10.24+dfsg1", daemon: str = "exit 0") -> None:
    """A client of this version; `daemon` is the script of `docker version`, which asks the daemon."""
    script = (
        f'case $1 in\n--version) echo "Docker version {version}, build 5d6db84" ;;\nversion) {daemon} ;;\n'
        f'buildx) echo "{NO_BUILDX}" >&2; exit 1 ;;\n*) exit 0 ;;\nesac'
    )
    _fake(folder, "docker", script)


def _refuse(words: str) -> str:
    return f'echo "{words}" >&2; exit 1'


def _run(path: Path, script: str, *arguments: str, **env: str) -> tuple[int, str]:
    """Exit code and stderr of a set-up script on a machine with nothing but what is in `path`."""
    done = subprocess.run(
        [sys.executable, str(SETUP / script), *arguments],
        env={"PATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_no_docker(tmp_path: Path) -> None:
    assert _run(tmp_path, "images.py", "build", "3.13") == (
        1,
        "there is no docker on PATH. "
        "Install it: sudo apt-get install docker.io   (others: https://docs.docker.com/engine/install/)\n",
    )


def test_a_docker_that_is_named_and_not_there(tmp_path: Path) -> None:
    assert _run(tmp_path, "images.py", "build", "3.13", DOCKER="/no/docker") == (
        1,
        "/no/docker cannot be started: No such file or directory. "
        "Install it: sudo apt-get install docker.io   (others: https://docs.docker.com/engine/install/)\n",
    )


def test_a_docker_without_buildkit(tmp_path: Path) -> None:
    _fake_docker(tmp_path, version="28.2.2")
    assert _run(tmp_path, "images.py", "build", "3.13") == (
        1,
        f"{tmp_path}/docker cannot build with BuildKit: it has no buildx. "
        "Install it: sudo apt-get install docker-buildx   (or name another client: DOCKER=/usr/bin/docker make ...)\n",
    )


def test_the_second_docker_on_path_can_build(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, version in ((new, "28.2.2"), (old, "20.10.24")):
        folder.mkdir()
        _fake_docker(folder, version)
    command = [sys.executable, str(SETUP / "docker_client.py")]
    done = subprocess.run(command, env={"PATH": f"{new}:{old}"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{old}/docker\n"), done.stderr


def test_no_daemon(tmp_path: Path) -> None:
    _fake_docker(tmp_path, daemon=_refuse(NO_DAEMON))
    assert _run(tmp_path, "images.py", "build", "3.13") == (
        1,
        "no docker daemon answers at unix:///var/run/docker.sock. Start it: sudo systemctl start docker   "
        "(make test-docker starts one for itself, as root)\n",
    )


def test_no_permission(tmp_path: Path) -> None:
    _fake_docker(tmp_path, daemon=_refuse(NO_PERMISSION))
    assert _run(tmp_path, "images.py", "build", "3.13") == (
        1,
        f"user {os.geteuid()} may not use the docker daemon at unix:///var/run/docker.sock. "
        "Become one of its group, and log in again: sudo usermod --append --groups docker $USER\n",
    )


def test_a_version_that_is_not_offered(tmp_path: Path) -> None:
    assert _run(tmp_path, "images.py", "build", "3.13", "3.4") == (
        1,
        "CPython 3.4 is not offered; these are: 2.7 3.11 3.13 3.14 3.15   (make image PYTHON=3.13)\n",
    )


@pytest.mark.parametrize(("ci", "code", "word"), [("", 0, "left out"), ("1", 1, "failed")])
def test_tests_are_left_out_but_not_under_ci(tmp_path: Path, ci: str, code: int, word: str) -> None:
    _fake_docker(tmp_path, daemon=_refuse(NO_DAEMON))
    host = "tcp://nowhere:2375"
    assert _run(tmp_path, "with_dockerd.py", "true", CI=ci, DOCKER_HOST=host) == (
        code,
        f"{word}, as docker cannot run here: no docker daemon answers at {host}. "
        "Start it: sudo systemctl start docker   (make test-docker starts one for itself, as root)\n",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="root is to become another user")
def test_only_root_starts_a_daemon(tmp_path: Path) -> None:
    """The script becomes the user nobody once it has been read."""
    become = f"import sys, os; sys.path.insert(0, sys.argv[1]); import with_dockerd; os.setuid({NOBODY}); "
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is closed to others
        Path(folder).chmod(0o755)
        _fake_docker(Path(folder), daemon=_refuse(NO_DAEMON))
        command = [sys.executable, "-c", f"{become}sys.exit(with_dockerd.main(['true']))", str(SETUP)]
        done = subprocess.run(command, env={"PATH": folder}, capture_output=True, text=True, check=False)
    assert done.stderr.endswith(f"; this is user {NOBODY}, and only root may start one\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a daemon")
@pytest.mark.parametrize(
    ("dockerd", "said"),
    [
        (
            None,
            "no docker daemon answers, and there is no dockerd to start. Install it: sudo apt-get install docker.io   "
            "(others: https://docs.docker.com/engine/install/)",
        ),
        ("echo 'failed to mount overlay'; exit 1", "dockerd does not start on this machine: failed to mount overlay"),
    ],
    ids=["none", "fails"],
)
def test_a_daemon_that_cannot_be_started(tmp_path: Path, dockerd: str | None, said: str) -> None:
    _fake_docker(tmp_path, daemon=_refuse(NO_DAEMON))
    if dockerd:
        _fake(tmp_path, "dockerd", dockerd)
    assert _run(tmp_path, "with_dockerd.py", "true", CI="1") == (1, f"failed, as docker cannot run here: {said}\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a daemon")
def test_a_daemon_of_our_own_is_stopped_again(tmp_path: Path) -> None:
    """It is there for the command, and gone afterwards; the command's exit code is kept."""
    alive = tmp_path / "alive"
    _fake_docker(tmp_path, daemon=f"[ -e {alive} ] || {{ {_refuse(NO_DAEMON)}; }}")
    _fake(tmp_path, "dockerd", f": >{alive}; trap 'echo gone >{alive}; exit' TERM; while :; do /bin/sleep 0.05; done")
    question = (
        f"import os, sys; sys.exit(5 if 'unix:///' in os.environ['DOCKER_HOST'] and not open('{alive}').read() else 6)"
    )
    assert _run(tmp_path, "with_dockerd.py", sys.executable, "-c", question) == (5, "")
    assert alive.read_text() == "gone\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a daemon")
def test_a_daemon_of_our_own_is_stopped_when_we_are_ended(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    _fake_docker(tmp_path, daemon=f"[ -e {alive} ] || {{ {_refuse(NO_DAEMON)}; }}")
    _fake(tmp_path, "dockerd", f": >{alive}; trap 'echo gone >{alive}; exit' TERM; while :; do /bin/sleep 0.05; done")
    command = [sys.executable, str(SETUP / "with_dockerd.py"), sys.executable, "-c", "print('up', flush=True); input()"]
    env = {"PATH": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"up\n"
        running.terminate()
        assert running.wait(60) == 128 + 15
    assert alive.read_text() == "gone\n"
