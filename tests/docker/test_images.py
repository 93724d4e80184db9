"""What is in an image, and what is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from docker.harness import Container, Docker
from docker.shown import ask_gdb
from harness import wait_until

VERSIONS = os.environ.get("LASTWORDS_TEST_IMAGES", "2.7 3.13").split()
FROM_SOURCE = ("2.7", "3.11", "3.13")
LINE_OF_PEM = re.compile(rb"^[A-Za-z0-9+/]{64}$", re.MULTILINE)
PUBLIC_CERTIFICATES = "usr/share/ca-certificates/mozilla/"  # Debian's package
Image = Callable[[str], str]

every_image = pytest.mark.parametrize("version", VERSIONS)


@every_image
def test_gdb_shows_c_and_python(docker: Docker, image: Image, version: str) -> None:
    shown = ask_gdb(docker, image(version))
    assert shown.has_arguments, shown.said
    assert shown.has_python_stack, shown.said
    if version in FROM_SOURCE:
        assert shown.has_source, shown.said
        assert shown.optimized_out == 0, shown.said


@every_image
def test_contents_are_listed(docker: Docker, image: Image, version: str) -> None:
    done = docker.run(image(version), "lastwords-contents")
    assert done.code == 0, done.said
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["kind", "name", "version", "origin"]
    assert {len(row) for row in rows} == {4}
    found = {(kind, name.lower()): (number, origin) for kind, name, number, origin in rows}
    assert ("debian", "gdb") in found
    assert found["pypi", "lastwords"][1] == "/opt/lastwords"
    assert found["pypi", "gevent"][1] == f"/opt/python/{version}"
    assert found["pypi", "hunter"][1] == f"/opt/python/{version}"
    if version in FROM_SOURCE:
        said = docker.run(image(version), "python", "-c", "import platform; print(platform.python_version())").stdout
        number, origin = found["CPython", "python"]
        assert number == said.strip()
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", origin)
    kept = docker.run(image(version), "cat", "/usr/share/lastwords/contents.tsv").stdout
    assert kept == done.stdout


@every_image
def test_there_is_no_compiler(docker: Docker, image: Image, version: str) -> None:
    """Nor anything that a build left behind."""
    script = "for name in gcc cc c++ make ld; do command -v $name; done; find /tmp /run/secrets -type f 2>/dev/null"
    done = docker.run(image(version), "sh", "-c", script)
    assert done.stdout == "", done.said


@every_image
def test_labels(docker: Docker, image: Image, version: str) -> None:
    config = json.loads(docker("image", "inspect", image(version)).stdout)[0]["Config"]
    labels = config["Labels"]
    said = docker.run(image(version), "--version").stdout
    assert labels["org.opencontainers.image.version"] in said
    assert labels["lastwords.python"] == version
    assert {"title", "description", "licenses"} <= {name.rpartition(".")[2] for name in labels}


@every_image
def test_its_health_is_what_doctor_says(image: Image, version: str, start_container: Callable[..., Container]) -> None:
    container = start_container(image(version), "sleep", "600", options=["--health-interval=1s"])

    def health() -> str:
        return str(container.inspect()["State"]["Health"]["Status"])

    wait_until(lambda: health() != "starting", "docker has asked for its health")
    assert health() == "healthy", container.inspect()["State"]["Health"]


def _own_certificates() -> set[bytes]:
    """Lines of the certificates that this machine trusts; public ones among them are in images by right."""
    given = next((os.environ[one] for one in ("SSL_CERT_FILE", "PIP_CERT") if os.environ.get(one)), None)
    return set(LINE_OF_PEM.findall(Path(given).read_bytes())) if given else set()


def _own_settings() -> set[bytes]:
    """Proxies and package indexes of this machine."""
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
    return {os.environ[name].encode() for name in names if os.environ.get(name)}


def _read_layers(docker: Docker, name: str) -> Iterator[tuple[str, bytes]]:
    """Every file of every layer, and the parts of the image's description: name and content."""
    with subprocess.Popen([docker.client, "save", name], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        with tarfile.open(fileobj=saving.stdout, mode="r|") as image:
            for member in image:
                content = image.extractfile(member) if member.isreg() else None
                if content and member.name.endswith("layer.tar"):
                    yield from _read_files(content)
                elif content:
                    yield member.name, content.read()
    assert saving.returncode == 0


def _read_files(layer: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=layer, mode="r|") as files:
        for one in files:
            content = files.extractfile(one) if one.isreg() else None
            if content:
                yield one.name.removeprefix("./"), content.read()


def test_nothing_of_the_machine_is_in_a_layer(docker: Docker, image: Image) -> None:
    """No certificate but public ones, no proxy, no index; and the search does find what is there."""
    known = b"The image's entry point: without arguments the investigation"
    settings, certificates = {known, *_own_settings()}, _own_certificates()
    found: set[tuple[str, bytes]] = set()
    for file, content in _read_layers(docker, image(VERSIONS[-1])):
        found |= {(file, one) for one in settings if one in content}
        found |= {(file, one) for one in certificates.intersection(LINE_OF_PEM.findall(content))}
    public = {line for file, line in found if file.startswith(PUBLIC_CERTIFICATES)}
    assert public or not certificates
    assert {file for file, one in found if one not in public} == {"usr/local/bin/lastwords-entrypoint"}
