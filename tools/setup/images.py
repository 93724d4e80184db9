"""The images: `lastwords:X.Y` for each CPython that is offered, on Debian's base images.

    python images.py build 3.13 ...       (or `all`)      make image, make images
    python images.py base                                 make base-image

A base image is the official one (debian:SUITE-slim), or, where no registry is in reach, made by debootstrap. What the
machine needs to reach the network (a CA, pip's index, proxies) goes into the build as secrets and build arguments that
docker keeps out of every layer.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docker_client import DockerError, ask, check_daemon, find_client, has_bridge

CHECKOUT = Path(__file__).resolve().parents[2]
VERSIONS = {"2.7": "bookworm", "3.11": "bookworm", "3.13": "bookworm", "3.14": "forky", "3.15": "forky"}
LATEST = "3.13"
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
OF_THIS_MACHINE = ("cert", "cache-dir", "log")  # what of pip's settings means nothing elsewhere


def build(client: str, version: str, *options: str) -> float:
    """The image of one CPython; how many seconds it took. Raises DockerError."""
    started = time.monotonic()
    base = f"{VERSIONS[version].upper()}={find_base(client, VERSIONS[version])}"
    tags = [f"--tag=lastwords:{version}", *(["--tag=lastwords:latest"] if version == LATEST else [])]
    with _secrets() as secrets:
        network = [] if has_bridge(client) else ["--network=host"]
        command = [
            client, "build", "--progress=plain", "--file=docker/Dockerfile",
            *tags, *network, *secrets, *_proxies(), *options,
            f"--build-arg=PYTHON={version}", f"--build-arg={base}", f"--build-arg=VERSION={_our_version()}", ".",
        ]  # fmt: skip
        _run(command, f"lastwords:{version}")
    return time.monotonic() - started


def _run(command: list[str], image: str) -> None:
    log = CHECKOUT / ".cache" / f"image-{image.partition(':')[2]}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        env = {**os.environ, "DOCKER_BUILDKIT": "1"}
        done = subprocess.run(command, cwd=CHECKOUT, env=env, stdout=output, stderr=output, check=False)
    if done.returncode:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in said if "rror" in line][-3:] or said[-3:]
        raise DockerError("\n".join([f"{image} could not be built:", *errors, f"all that docker said: {log}"]))


def find_base(client: str, suite: str) -> str:
    """The base image: one that is there, or pulled, or made. Raises DockerError."""
    official, own = f"debian:{suite}-slim", f"lastwords-base:{suite}"
    for name in (own, official):
        if ask(client, "image", "inspect", name).returncode == 0:
            return name
    pulled = subprocess.run([client, "pull", "--quiet", official], capture_output=True, text=True, check=False)
    if pulled.returncode == 0:
        return official
    sys.stderr.write(f"no registry has {official} for us ({pulled.stderr.strip()[:120]}): making {own}\n")
    make_base(client, suite)
    return own


def make_base(client: str, suite: str) -> None:
    """`lastwords-base:SUITE` by debootstrap. Raises DockerError."""
    env = {**os.environ, "DOCKER": client}
    for script in (["machine.sh", "debootstrap"], ["base_image.sh", suite]):
        command = ["sh", f"tools/setup/{script[0]}", *script[1:]]
        done = subprocess.run(command, cwd=CHECKOUT, env=env, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise DockerError(done.stderr.strip())


@contextmanager
def _secrets() -> Iterator[list[str]]:
    """Options that hand this machine's certificates and pip's index to the build, and to nothing that is kept."""
    with tempfile.TemporaryDirectory() as folder:
        certificates = next((os.environ[name] for name in CERTIFICATES if os.environ.get(name)), None)
        config = Path(folder) / "pip.conf"
        config.write_text(_pip_settings())
        ca = [f"--secret=id=ca,src={certificates}"] if certificates else []
        yield [*ca, f"--secret=id=pip,src={config}"]


def _pip_settings() -> str:
    """pip's settings as this machine has them, as a file, but for paths of this machine."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    found: dict[str, str] = {}
    for line in said.splitlines():  # files first, the environment last: it wins
        setting = re.match(r"(?:global|install|:env:)\.([\w-]+)='(.*)'$", line)
        if setting:
            found[setting[1]] = " ".join(word for word in setting[2].split() if not word.startswith(("file:", "/")))
    kept = [f"{name} = {value}\n" for name, value in found.items() if value and name not in OF_THIS_MACHINE]
    return "[global]\n" + "".join(kept)


def _proxies() -> list[str]:
    """docker takes their values out of its environment, and keeps build arguments of these names in no layer."""
    return [f"--build-arg={name}" for name in PROXIES if os.environ.get(name)]


def _our_version() -> str:
    text = (CHECKOUT / "tools" / "lastwords" / "__init__.py").read_text()
    found = re.search(r'__version__ = "(.*)"', text)
    assert found
    return found[1]


def build_all(versions: list[str], *options: str) -> None:
    """Each version's image; a line for each. Raises DockerError."""
    unknown = [version for version in versions if version not in VERSIONS]
    if unknown:
        raise DockerError(f"CPython {' '.join(unknown)} is not offered; these are: {' '.join(VERSIONS)}   "
                          f"(make image PYTHON={LATEST})")  # fmt: skip
    client = find_client()
    check_daemon(client)
    for version in versions:
        seconds = build(client, version, *options)
        size = int(ask(client, "image", "inspect", "--format", "{{.Size}}", f"lastwords:{version}").stdout)
        sys.stdout.write(f"lastwords:{version}  {size / 1e6:.0f} MB, built in {seconds:.0f} s\n")
        sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """0, or 1 with a message."""
    asked, *rest = arguments
    try:
        if asked == "base":
            client = find_client()
            check_daemon(client)
            for suite in rest or ["bookworm"]:
                make_base(client, suite)
        else:
            versions = [one for one in rest if not one.startswith("-")]
            options = [one for one in rest if one.startswith("-")]
            build_all(list(VERSIONS) if versions == ["all"] else versions or [LATEST], *options)
    except DockerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
