"""Which docker builds and runs the images, and whether it can: one message for each way in which it cannot.

python docker_client.py       prints the path of the client, once a daemon has answered it
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

INSTALL = "Install it: sudo apt-get install docker.io   (others: https://docs.docker.com/engine/install/)"
BUILDKIT_INSIDE = range(18, 23)  # major versions of clients that build with BuildKit without a plug-in
PATIENCE = 30  # seconds for a daemon to answer


class DockerError(Exception):
    """One message for the user."""


class NoDaemonError(DockerError):
    """There is a client, and nobody behind the socket."""


def find_client() -> str:
    """The first docker on PATH (or $DOCKER) that can build with BuildKit. Raises DockerError."""
    named = os.environ.get("DOCKER")
    clients = [named] if named else list(_clients())
    if not clients:
        raise DockerError(f"there is no docker on PATH. {INSTALL}")
    for client in clients:
        if _can_build(client):
            return client
    raise DockerError(
        f"{clients[0]} cannot build with BuildKit: it has no buildx. Install it: sudo apt-get install docker-buildx   "
        "(or name another client: DOCKER=/usr/bin/docker make ...)"
    )


def _clients() -> Iterator[str]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which("docker", path=folder)
        if found:
            yield found


def _can_build(client: str) -> bool:
    try:
        said = ask(client, "--version").stdout
    except OSError as error:
        raise DockerError(f"{client} cannot be started: {error.strerror}. {INSTALL}") from None
    major = re.search(r"version (\d+)\.", said)
    return bool(major and int(major[1]) in BUILDKIT_INSIDE) or ask(client, "buildx", "version").returncode == 0


def check_daemon(client: str) -> None:
    """Return if a daemon answers. Raises DockerError, NoDaemonError."""
    try:
        done = ask(client, "version", "--format", "{{.Server.Version}}")
    except subprocess.TimeoutExpired:
        raise DockerError(f"the docker daemon at {_host()} has not answered for {PATIENCE} s") from None
    if done.returncode == 0:
        return
    if "permission denied" in done.stderr.lower():
        raise DockerError(
            f"user {os.geteuid()} may not use the docker daemon at {_host()}. "
            "Become one of its group, and log in again: sudo usermod --append --groups docker $USER"
        )
    raise NoDaemonError(
        f"no docker daemon answers at {_host()}. Start it: sudo systemctl start docker   "
        "(make test-docker starts one for itself, as root)"
    )


def _host() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def has_bridge(client: str) -> bool:
    """Whether containers have a network of their own; without one (`dockerd --bridge=none`) builds need the host's."""
    return "bridge" in ask(client, "network", "ls", "--format", "{{.Name}}").stdout.split()


def ask(client: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the client says to a short question."""
    return subprocess.run([client, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE)


def main() -> int:
    """Print the client."""
    try:
        client = find_client()
        check_daemon(client)
    except DockerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{client}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
