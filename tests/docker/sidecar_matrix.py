"""The sidecar's matrix, from a real run: `make sidecar-matrix`.

Down, what is attached to; across, from where: "complete" where the report has all that the program tells of itself
(sidecar.say_wrong), else what it lacks. Markdown.
"""

from __future__ import annotations

import sys

from docker.harness import Docker, NoDockerError, build_image, find_docker
from docker.sidecar import CASES, WAYS, Case, Way, attach, import_root, read_facts, say_wrong, start_case


def look(docker: Docker, case: Case) -> list[str]:
    """A word for each way."""
    ours = case.image is not None
    container = start_case(docker, case, build_image(docker, case.image) if case.image else import_root(docker, case))
    try:
        facts = read_facts(container)
        words = []
        for way in WAYS:
            image = build_image(docker, way.image) if way.image else None
            report = attach(docker, way, image, case, container)
            pause = report["moments"][0]["capture"]["pause_ms"]
            words.append(", ".join(say_wrong(report, facts)) or f"complete, {pause or 0:.0f} ms")
        return words
    finally:
        container.remove()
        if not ours:
            docker("rmi", f"lastwords-test:{case.name}")


def format_way(way: Way) -> str:
    """The head of its column."""
    return way.name if way.image is None else f"image {way.name}"


def main() -> int:
    """Print it, line by line. 1 where something is not complete."""
    try:
        docker = find_docker()
    except NoDockerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    heads = ["target", "C library", *(format_way(way) for way in WAYS)]
    rows = [heads, ["---"] * len(heads)]
    for case in CASES:
        rows.append([f"CPython {case.name}", case.libc, *look(docker, case)])
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in rows))
    sys.stdout.flush()
    return int(any("complete" not in word for row in rows[2:] for word in row[2:]))


if __name__ == "__main__":
    sys.exit(main())
