"""`make image-table`: every image, built and tried. ARGS="--no-cache 3.13" for the time of a build from nothing.

seconds      of the build, with what docker has kept of earlier ones (--no-cache: without)
MB           all layers, unpacked
bt           C frames with arguments and lines, down to main; how many arguments the compiler took away
py-bt, list  Python's stack in gdb; the lines of CPython's own source
found        what `docker run IMAGE` finds: the verdict of the investigation
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence

from docker.harness import SETUP, Docker, find_docker
from docker.shown import ask_gdb

VERSIONS = ("2.7", "3.11", "3.13", "3.14", "3.15")
COLUMNS = ("image", "seconds", "MB", "bt", "optimized out", "py-bt", "list", "found")
WIDTHS = (15, 8, 6, 5, 14, 7, 6, 40)


def main(arguments: Sequence[str]) -> int:
    """Print it; 0 if every image found what there is to find."""
    docker = find_docker()
    versions = [one for one in arguments if not one.startswith("-")] or VERSIONS
    options = [one for one in arguments if one.startswith("-")]
    print(_format(COLUMNS))
    rows = [_row(docker, version, options) for version in versions]
    return 0 if all(row[-1].endswith(", certain") for row in rows) else 1


def _row(docker: Docker, version: str, options: Sequence[str]) -> Sequence[str]:
    command = [sys.executable, str(SETUP / "images.py"), "build", version, *options]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    built = re.search(r"(\d+) MB, built in (\d+) s", said)
    assert built, said
    image = f"lastwords:{version}"
    shown = ask_gdb(docker, image)
    verdict = re.search(r"^  ([\w-]+, \w+); more", docker.run(image).stdout, re.MULTILINE)
    yes = {True: "yes", False: "no"}
    row = (
        image, built[2], built[1], yes[shown.has_arguments], str(shown.optimized_out), yes[shown.has_python_stack],
        yes[shown.has_source], verdict[1] if verdict else "nothing",
    )  # fmt: skip
    print(_format(row), flush=True)
    return row


def _format(row: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, WIDTHS, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
