"""`docker run -v $PWD:/app IMAGE run -- python app.py`: the user's own program."""

from __future__ import annotations

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from docker.harness import Container, Docker
from docker.test_images import every_image

Image = Callable[[str], str]
APP = """\
import sys
class Careless(object):
    def __del__(self):
        raise ValueError("lost")
Careless()
sys.stdout.write("the program's output\\n")
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A folder with a program, as a user would mount it."""
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@every_image
def test_a_program_of_the_user(docker: Docker, image: Image, version: str, app: Path) -> None:
    done = docker.run(image(version), "run", "--", "python", "app.py", "3", options=[f"--volume={app}:/app"])
    assert done.code == 3, done.said
    assert done.stdout == "the program's output\n"
    assert "finalizer-failed, certain" in done.stderr
    assert "app.py:4" in done.stderr


@pytest.mark.parametrize("number", [9, 11, 15])
def test_death_by_a_signal(docker: Docker, image: Image, number: int) -> None:
    """As docker tells it of any program, though lastwords is the container's first process."""
    program = f"import os; os.kill(os.getpid(), {number})"
    done = docker.run(image("3.13"), "run", "--quiet", "--", "python", "-c", program)
    assert done.code == 128 + number, done.said


def test_docker_stop_reaches_the_program(
    docker: Docker, image: Image, start_container: Callable[..., Container]
) -> None:
    program = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(9)); print('ready', flush=True); signal.pause()"
    )
    container = start_container(image("3.13"), "run", "--quiet", "--", "python", "-c", program).wait_for("ready")
    docker("stop", "--time=60", container.id)
    assert container.wait() == 9, container.logs()


def _write_wheel(folder: Path, name: str) -> None:
    """A package that pip installs without a network: one module."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    with zipfile.ZipFile(folder / f"{name}-1.0-py2.py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(path, text)


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@every_image
def test_with_the_program_s_requirements(docker: Docker, image: Image, version: str, app: Path) -> None:
    """The command of docker/README.md, with an index that is a folder."""
    _write_wheel(app, "needed")
    (app / "requirements.txt").write_text("needed\n")
    (app / "app.py").write_text("import needed, sys\nsys.exit(needed.ANSWER)\n")
    script = "pip install -q -r requirements.txt && lastwords run -- python app.py"
    options = [f"--volume={app}:/app", "--env=PIP_NO_INDEX=1", "--env=PIP_FIND_LINKS=/app"]
    done = docker.run(image(version), "sh", "-c", script, options=options)
    assert done.code == 42, done.said


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["--version"], 0, "lastwords "),
        (["explain", "monkey-patch-order"], 0, "monkey-patch-order"),
        (["python", "-c", "print('its own')"], 0, "its own\n"),
        (["sh", "-c", "exit 7"], 7, ""),
        (["/usr/bin/gdb", "--version"], 0, "GNU gdb"),
        (["no-such-program"], 127, ""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_a_word_means(docker: Docker, image: Image, command: list[str], code: int, said: str) -> None:
    """lastwords' commands and options are lastwords'; everything else is executed."""
    done = docker.run(image("3.13"), *command)
    assert (done.code, said in done.stdout) == (code, True), done.said
