"""lastwords as pip installs it, for measurements: compiled, and beside nothing but what it needs.

A checkout is slower to start: what was edited is compiled at every start where Python may not write (as with
PYTHONDONTWRITEBYTECODE), and what else is in .venv is loaded too (typing_extensions, which msgspec takes if it can).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from environments import environment_for
from interpreters import CHECKOUT, describe_python


def install() -> Path:
    """The command, of this checkout as it is now. Raises EnvironmentFailedError, CalledProcessError."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    needed = (*project["dependencies"], *project["optional-dependencies"]["native"])
    environment = environment_for(describe_python(Path(sys.executable)), *needed)
    with tempfile.TemporaryDirectory() as folder:
        _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(CHECKOUT)])
        (wheel,) = Path(folder).iterdir()
        pip = [str(environment.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "--no-deps", "--force-reinstall", str(wheel)])
    return environment.root / "bin" / "lastwords"


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
