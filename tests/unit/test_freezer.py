"""Whether a control group keeps a process frozen, by recorded files; and what a report says of who stands still."""

from __future__ import annotations

from pathlib import Path

import pytest

from lastwords.capture.kernel.freezer import find_freezer
from lastwords.diagnose import diagnose
from lastwords.model import Halt
from lastwords.report.redact import redact
from lastwords.report.text import format_report
from sample_waits import Scene

PID = 7
GROUPS = "9:name=systemd:/\n6:freezer:{first}\n0::{second}\n"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def record(tmp_path: Path, first: str = "/", second: str = "/", root: str = "/") -> Path:
    """/proc of a machine with both versions; `root`: the group of version 2 that is seen as the first."""
    mounts = (
        f"29 24 0:25 / {tmp_path}/v1/cpu rw,nosuid shared:3 - cgroup cgroup rw,cpu\n"
        f"31 24 0:27 / {tmp_path}/v1/freezer rw,nosuid shared:5 - cgroup cgroup rw,freezer\n"
        f"30 24 0:26 {root} {tmp_path}/v2 rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    groups = GROUPS.format(first=first, second=second)
    write(tmp_path / "proc", {"self/mountinfo": mounts, f"{PID}/cgroup": groups})
    return tmp_path / "proc"


@pytest.mark.parametrize("frozen", ["a", "a/b"])
def test_a_group_of_version_2_is_frozen_or_the_one_that_it_is_in(tmp_path: Path, frozen: str) -> None:
    proc = record(tmp_path, second="/a/b")
    write(tmp_path / "v2", {"a/cgroup.freeze": "0\n", "a/b/cgroup.freeze": "0\n"})
    assert find_freezer(PID, proc) is None
    write(tmp_path / "v2", {f"{frozen}/cgroup.freeze": "1\n"})
    assert find_freezer(PID, proc) == tmp_path / "v2" / frozen / "cgroup.freeze"


def test_a_group_of_version_1(tmp_path: Path) -> None:
    proc = record(tmp_path, first="/a")
    write(tmp_path / "v1/freezer", {"a/freezer.self_freezing": "0\n", "a/freezer.state": "THAWED\n"})
    assert find_freezer(PID, proc) is None
    write(tmp_path / "v1/freezer", {"a/freezer.self_freezing": "1\n"})
    assert find_freezer(PID, proc) == tmp_path / "v1/freezer/a/freezer.state"


def test_a_group_below_the_one_that_is_seen_first(tmp_path: Path) -> None:
    """As in a container."""
    proc = record(tmp_path, second="/docker/1/a", root="/docker/1")
    write(tmp_path / "v2", {"a/cgroup.freeze": "1"})
    assert find_freezer(PID, proc) == tmp_path / "v2/a/cgroup.freeze"


@pytest.mark.parametrize("group", ["/other", "/../other", "/docker/12"])
def test_a_group_that_is_not_seen_tells_nothing(tmp_path: Path, group: str) -> None:
    proc = record(tmp_path, second=group, root="/docker/1")
    write(tmp_path, {"v2/cgroup.freeze": "1", "other/cgroup.freeze": "1", "v2/2/cgroup.freeze": "1"})
    assert find_freezer(PID, proc) is None


@pytest.mark.parametrize(
    "files", [{}, {"7/cgroup": "nonsense\n\n0::\n"}, {"7/status": "", "self/mountinfo": "- cgroup2"}]
)
def test_what_is_not_there_or_makes_no_sense_tells_nothing(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, files)
    assert find_freezer(PID, tmp_path) is None


HALTS = [
    (
        Halt(how="frozen", file="/sys/fs/cgroup/a b/cgroup.freeze"),
        "frozen by its control group, /sys/fs/cgroup/a b",
        "echo 0 | sudo tee '/sys/fs/cgroup/a b/cgroup.freeze'",
    ),
    (
        Halt(how="frozen", file="/sys/fs/cgroup/freezer/a/freezer.state"),
        "frozen by its control group, /sys/fs/cgroup/freezer/a",
        "echo THAWED | sudo tee /sys/fs/cgroup/freezer/a/freezer.state",
    ),
    (Halt(how="stopped"), "stopped by a signal (SIGSTOP, Ctrl-Z)", "kill -CONT 7"),
    (Halt(how="traced", pid=12), "held by process 12, which traces it", "ps -o pid,args -p 12"),
    (Halt(how="traced"), "held by a tracer", "lastwords doctor 7"),
]


@pytest.mark.parametrize(("halt", "why", "mend"), HALTS)
def test_who_stands_still_is_not_healthy_and_the_first_line_says_why(halt: Halt, why: str, mend: str) -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "sleep", has_timeout=True)
    assert [one.code for one in diagnose(scene.report)] == ["healthy"]
    scene.process.halt = halt
    assert diagnose(scene.report) == []
    first, *rest = format_report(scene.report, width=200)
    assert first == f"nothing runs in process 7: it is {why}"
    at = rest.index(f"  nothing in it runs: it is {why}")
    assert rest[at + 1] == f"    {mend}"


def test_the_group_of_a_redacted_report_is_hidden() -> None:
    scene = Scene()
    scene.waits(scene.thread("MainThread"), None, "sleep", has_timeout=True)
    scene.process.halt = Halt(how="frozen", file="/sys/fs/cgroup/of-a-customer/cgroup.freeze")
    text = "\n".join(format_report(redact(scene.report)))
    assert text.startswith("nothing runs in process 7: it is frozen by its control group\n")
    assert "of-a-customer" not in text
