"""Environments for the interpreters under test: what pip installed for one of them, built once under .cache/envs.

    environment = environment_for(interpreter, *gevent_for(interpreter), "hunter")
    running([environment.python, program], env=environment.env)

Python 3 gets a virtual environment; Python 2.7 has no `venv`, so its packages come in by PYTHONPATH.
pip is configured by the machine alone; nothing here names an index.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from interpreters import CHECKOUT, Interpreter, find_interpreters

ENVIRONMENTS = CHECKOUT / ".cache" / "envs"
RECIPE = 1  # counted up when what is below builds differently
JOBS = 2

# The last gevent with a wheel for each Python; a Python that is not listed takes the newest.
# On 2.7: that of the investigation that this tool does again (a source package: it is compiled).
GEVENT = {
    "2.7": ("gevent==1.0.2", "greenlet==2.0.2"),
    "3.6": ("gevent==21.12.0",),
    "3.7": ("gevent==22.10.2",),
    "3.8": ("gevent==24.2.1",),
    "3.9": ("gevent==23.9.1",),
    "3.10": ("gevent==24.11.1",),
    "3.11": ("gevent==26.9.0",),
    "3.12": ("gevent==26.9.0",),
    "3.13": ("gevent==26.9.0",),
}
# Another one: of the oldest that have a wheel for this Python, with the greenlet of their time (2.7: without gevent).
OTHER_GEVENT = {
    "2.7": ("greenlet==0.4.17",),
    "3.6": ("gevent==1.3.7", "greenlet==0.4.17"),
    "3.7": ("gevent==1.4.0", "greenlet==0.4.17"),
    "3.8": ("gevent==20.9.0", "greenlet==0.4.17"),
    "3.9": ("gevent==20.12.1", "greenlet==1.1.3"),
    "3.10": ("gevent==21.12.0", "greenlet==1.1.3"),
    "3.11": ("gevent==22.10.2", "greenlet==2.0.2"),
    "3.12": ("gevent==23.9.1", "greenlet==3.0.3"),
    "3.13": ("gevent==24.11.1", "greenlet==3.1.1"),
    "3.14": ("gevent==25.9.1", "greenlet==3.2.4"),
}
HUNTER = {"2.7": ("hunter==3.3.8",)}


@dataclass(frozen=True)
class Environment:
    """`python`: what to run; `env`: what to add to the environment, empty for Python 3; `root`: where it is."""

    python: Path
    root: Path
    env: dict[str, str] = field(default_factory=dict)


class EnvironmentFailedError(Exception):
    """pip could not build it; the message says for which Python, what was asked for, and pip's error."""


def gevent_for(interpreter: Interpreter) -> tuple[str, ...]:
    """The requirements that bring gevent to this interpreter."""
    return GEVENT.get(interpreter.minor, ("gevent",))


def other_gevent_for(interpreter: Interpreter) -> tuple[str, ...] | None:
    """Another gevent and greenlet than `gevent_for` brings; None where there is no other."""
    return OTHER_GEVENT.get(interpreter.minor)


def hunter_for(interpreter: Interpreter) -> tuple[str, ...]:
    """The requirements that bring hunter to this interpreter: the newest that it takes."""
    return HUNTER.get(interpreter.minor, ("hunter",))


def environment_for(interpreter: Interpreter, *requirements: str) -> Environment:
    """The environment with these requirements; built on the first call. Raises EnvironmentFailedError."""
    root = ENVIRONMENTS / _name(interpreter, requirements)
    environment = _describe(interpreter, root)
    if not (root / "ready").exists():
        with _alone(root):
            if not (root / "ready").exists():
                sys.stderr.write(f"setting up {root.relative_to(ENVIRONMENTS)}\n")
                shutil.rmtree(root, ignore_errors=True)
                _build(interpreter, root, requirements)
                (root / "ready").write_text("\n".join(requirements) + "\n")
    for startup in root.glob("lib/python*/site-packages/hunter.pth"):
        startup.unlink(missing_ok=True)  # it imports hunter, and so `threading`, at every start: before the program
    return environment


def _name(interpreter: Interpreter, requirements: Sequence[str]) -> str:
    """Readable, and another one when anything that it is built from changes."""
    inputs = repr((RECIPE, str(interpreter.path), interpreter.version, sorted(requirements)))
    packages = "-".join(sorted(re.split(r"[=<>\[!~ ]", one)[0] for one in requirements)) or "bare"
    return f"{interpreter.name}-{packages}-{hashlib.sha256(inputs.encode()).hexdigest()[:10]}"


def _describe(interpreter: Interpreter, root: Path) -> Environment:
    if interpreter.has("venv"):
        return Environment(root / "bin" / "python", root)
    return Environment(interpreter.path, root, {"PYTHONPATH": str(root / "site-packages")})


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One builder per environment, also among processes."""
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with root.with_name(root.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(interpreter: Interpreter, root: Path, requirements: Sequence[str]) -> None:
    if not interpreter.has("venv"):
        target = ["--target", str(root / "site-packages")]
        _pip([str(interpreter.path), "-m", "pip"], ["install", *target, *requirements], interpreter)
        return
    own_pip = interpreter.has("ensurepip")
    _say([str(interpreter.path), "-m", "venv", *([] if own_pip else ["--without-pip"]), str(root)], interpreter)
    python = str(root / "bin" / "python")
    pip = [python, "-m", "pip"] if own_pip else [sys.executable, "-m", "pip", "--python", python]
    if own_pip and _pip_version(pip) < (20, 3):  # older ones do not know today's tags of wheels
        _pip(pip, ["install", "--upgrade", "pip<22"], interpreter)
    if requirements:
        _pip(pip, ["install", "--only-binary", ":all:", *requirements], interpreter)


def _pip(pip: Sequence[str], arguments: Sequence[str], interpreter: Interpreter) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    _say([*pip, *arguments[:1], *quiet, *arguments[1:]], interpreter)


def _pip_version(pip: Sequence[str]) -> tuple[int, ...]:
    said = subprocess.run([*pip, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in said.split()[1].split(".")[:2])


def _say(command: Sequence[str], interpreter: Interpreter) -> None:
    """Run it; if it fails, keep all that it said in a file, and in the message what it calls an error."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).splitlines()
        log = ENVIRONMENTS / f"{interpreter.name}.log"
        log.write_text("\n".join([shlex.join(command), *said, ""]))
        errors = [line.strip() for line in said if line.lstrip().startswith("ERROR:")] or said[-3:]
        raise EnvironmentFailedError(
            f"{interpreter.name}: `{shlex.join(command)}` ended with {done.returncode}\n"
            + "\n".join(errors[:3])
            + f"\nall that it said: {log}"
        )


def prepare(interpreters: Sequence[Interpreter]) -> list[str]:
    """Build for each interpreter the environments that most tests want; two at a time. What failed, as messages."""

    def build(job: tuple[Interpreter, Sequence[str]]) -> str | None:
        try:
            environment_for(job[0], *job[1])
        except EnvironmentFailedError as error:
            return str(error)
        return None

    usual = [(one, (*gevent_for(one), *hunter_for(one))) for one in interpreters]
    others = [(one, other) for one in interpreters if (other := other_gevent_for(one)) is not None]
    with ThreadPoolExecutor(JOBS) as pool:
        return [failure for failure in pool.map(build, [*usual, *others]) if failure]


def main() -> None:
    """Prepare the environments of all interpreters, and say what failed: the tests that need it will skip or fail."""
    for failure in prepare(find_interpreters()):
        sys.stderr.write(f"no gevent and hunter for {failure}\n")


if __name__ == "__main__":
    main()
