"""Runs a command with a docker daemon: the one that is there, or else one of its own, stopped when the command ends.

    python with_dockerd.py COMMAND ARGUMENTS...      the command finds DOCKER and DOCKER_HOST in its environment

Starting one takes root. What it holds stays in .cache/docker, so that the next build is a short one. Its containers
have no network but the host's: it touches no firewall. Where docker cannot run at all, the command is left out, which
is said; with CI set, that is an error.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docker_client import INSTALL, DockerError, NoDaemonError, check_daemon, find_client

DATA = Path(__file__).resolve().parents[2] / ".cache" / "docker"
START_SECONDS = 60
STOP_SECONDS = 60


@contextmanager
def docker_daemon() -> Iterator[dict[str, str]]:
    """The environment in which docker works. Raises DockerError."""
    client = find_client()
    try:
        check_daemon(client)
    except NoDaemonError as error:
        _check_may_start(error)
    else:
        yield {"DOCKER": client}
        return
    with tempfile.TemporaryDirectory(prefix="dockerd-") as folder, _dockerd_running(client, Path(folder)) as host:
        yield {"DOCKER": client, "DOCKER_HOST": host}


def _check_may_start(refusal: DockerError) -> None:
    if os.environ.get("DOCKER_HOST"):
        raise refusal
    if os.geteuid() != 0:
        raise DockerError(f"{refusal}; this is user {os.geteuid()}, and only root may start one")
    if not shutil.which("dockerd"):
        raise DockerError(f"no docker daemon answers, and there is no dockerd to start. {INSTALL}")


@contextmanager
def _dockerd_running(client: str, folder: Path) -> Iterator[str]:
    """The socket of a daemon of our own; its socket lies in `folder`, as a path to one may have 107 characters only."""
    host = f"unix://{folder}/docker.sock"
    log = folder / "log"
    command = [
        "dockerd", "--iptables=false", "--bridge=none", f"--host={host}", f"--data-root={DATA}",
        f"--exec-root={folder}/exec", f"--pidfile={folder}/pid",
    ]  # fmt: skip
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0)
    try:
        _wait_for(daemon, client, host, log)
        yield host
    finally:
        daemon.terminate()
        try:
            daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _wait_for(daemon: subprocess.Popen[bytes], client: str, host: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    env = {**os.environ, "DOCKER_HOST": host}
    while subprocess.run([client, "version"], env=env, capture_output=True, check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > deadline:
            said = " ".join(log.read_text(errors="replace").splitlines()[-2:])
            raise DockerError(f"dockerd does not start on this machine: {said}")
        time.sleep(0.1)


def main(command: list[str]) -> int:
    """Run it; its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the daemon is stopped on the way out
    try:
        with docker_daemon() as env:
            return subprocess.run(command, env={**os.environ, **env}, check=False).returncode
    except DockerError as error:
        is_ci = bool(os.environ.get("CI"))
        sys.stderr.write(f"{'failed' if is_ci else 'left out'}, as docker cannot run here: {error}\n")
        return 1 if is_ci else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
