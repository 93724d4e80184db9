"""The tools whose harm is measured: lastwords, and beside it gdb, pystack and py-spy from the package index."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from environments import EnvironmentFailedError, environment_for
from interpreters import describe_python

LASTWORDS = str(Path(sys.executable).with_name("lastwords"))


@dataclass(frozen=True)
class Tool:
    """`command` is what is run, with {pid} put in, and {file} where it writes one."""

    name: str
    command: tuple[str, ...]

    def words(self, pid: int, file: Path) -> list[str]:
        """The command for this process."""
        return [word.format(pid=pid, file=file) for word in self.command]

    def start(self, pid: int, file: Path) -> subprocess.Popen[bytes]:
        """Starts it, in a session of its own; what it says is not kept."""
        return subprocess.Popen(
            self.words(pid, file), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


OURS = (
    Tool("lastwords attach", (LASTWORDS, "attach", "{pid}", "--json", "{file}")),
    Tool("lastwords snapshot", (LASTWORDS, "snapshot", "{pid}", "-q", "-o", "{file}")),
)
NO_INTERRUPT = Tool("lastwords attach --no-interrupt", (*OURS[0].command, "--no-interrupt"))
NOTHING = Tool("no tool", ("sleep", "0.5"))
GDB = ("-p", "{pid}", "-batch", "-nx", "-iex", "set debuginfod enabled off", "-ex", "thread apply all bt")


def find_peers() -> list[Tool]:
    """Those that are to be had."""
    gdb = shutil.which("gdb")
    peers = [Tool("gdb", (gdb, *GDB))] if gdb else []
    try:
        there = environment_for(describe_python(Path(sys.executable)), "py-spy", "pystack").root / "bin"
    except EnvironmentFailedError as error:
        sys.stderr.write(f"without pystack and py-spy: {error}\n")
        return peers
    return [
        *peers,
        Tool("pystack remote", (str(there / "pystack"), "remote", "{pid}")),
        Tool("pystack remote --native", (str(there / "pystack"), "remote", "--native", "{pid}")),
        Tool("py-spy dump", (str(there / "py-spy"), "dump", "--pid", "{pid}")),
        Tool("py-spy dump --native", (str(there / "py-spy"), "dump", "--native", "--pid", "{pid}")),
    ]


def versions(tools: Sequence[Tool]) -> list[str]:
    """As the tools say them, each once."""
    programs = dict.fromkeys(tool.command[0] for tool in tools if tool is not NOTHING)
    return [_version(program) for program in programs]


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return f"{Path(program).name} {said}" if said[:1].isdigit() else said
