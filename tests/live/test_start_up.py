"""What a look at a process loads: nothing that it does not need, and drgn only for what it has not told before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Target, wait_until_at_rest
from interpreters import Interpreter

Start = Callable[..., Target]
LOOK = """
import json, os, sys
from lastwords.cli import main
assert main(sys.argv[2:]) in (0, 5)
with open(sys.argv[1], "w") as file:
    json.dump(sorted(sys.modules), file)
"""
# Each took 1 to 30 ms, and a process that waits for a lock needs none of them
NOT_NEEDED = {
    "asyncio", "email", "elftools", "lastwords.agent", "lastwords.examine.core",
    "lastwords.examine.greenlets", "lastwords.examine.tasks", "lastwords.examine.tree", "lastwords.report.text",
    "lastwords.watch", "lzma", "pexpect", "psutil", "socket", "tempfile",
}  # fmt: skip
OWN_LIMIT = 230  # modules of ours; each takes 0.1 ms by being one


def look(tmp_path: Path, *arguments: str) -> tuple[set[str], dict[str, Any]]:
    """The modules that a command has loaded, and the report that it wrote."""
    modules, report = tmp_path / "modules.json", tmp_path / "report.json"
    env = {name: value for name, value in os.environ.items() if name != "LASTWORDS_CACHE"}
    command = [sys.executable, "-c", LOOK, str(modules), *arguments, "--json", str(report)]
    subprocess.run(command, env=env | {"XDG_CACHE_HOME": str(tmp_path)}, check=True)
    return set(json.loads(modules.read_text())), json.loads(report.read_text())


def stacks(report: dict[str, Any]) -> dict[int, Any]:
    return {thread["tid"]: thread["stack"] for thread in report["threads"]}


def test_attach_loads_what_it_needs(running_python: Interpreter, start_target: Start, tmp_path: Path) -> None:
    target = start_target(running_python, "bench_threads.py", "3")
    wait_until_at_rest(target.pid)
    first, told = look(tmp_path, "attach", str(target.pid))
    second, kept = look(tmp_path, "attach", str(target.pid))
    assert stacks(kept) == stacks(told)
    assert not second & NOT_NEEDED
    assert sum(name.startswith("lastwords.") for name in second) <= OWN_LIMIT
    has_lines = any(one["kind"] == "native" and one.get("line") for stack in stacks(told).values() for one in stack)
    assert ("drgn" in first, "drgn" in second) == (has_lines, False)
