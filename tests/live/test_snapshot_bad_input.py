"""`lastwords snapshot` where it cannot, or nearly: in words (tests/golden/snapshot_*.txt). Nothing is left behind."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import PATIENCE, Target, name_values, wait_until
from interpreters import Interpreter
from lastwords.capture.snapshot.output import check_output
from lastwords.cli import main
from lastwords.errors import SetupError
from lastwords.examine.core import read_core_report
from nobody import as_nobody
from stopping import states, tracer

Start = Callable[..., Target]
Output = pytest.CaptureFixture[str]
COMMAND = [sys.executable, "-m", "lastwords", "snapshot"]
GOLDEN = Path(__file__).parents[1] / "golden"
INTERRUPTIONS = 12


def compare(name: str, text: str, **words: object) -> None:
    text = name_values(text, **words)
    golden = GOLDEN / f"snapshot_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.fixture
def waiting(running_python: Interpreter, start_target: Start) -> Target:
    """One that runs as long as its stdin is open."""
    return start_target(running_python, "waits_for_line.py")


def left_behind(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.parametrize("name", ["directory", "no_directory", "terminal"])
def test_an_output_that_cannot_be(name: str, waiting: Target, tmp_path: Path, capsys: Output) -> None:
    leader, follower = os.openpty()
    output = {"directory": tmp_path, "no_directory": tmp_path / "none" / "x", "terminal": os.ttyname(follower)}[name]
    before = left_behind(tmp_path)
    assert main(["snapshot", str(waiting.pid), "-o", str(output)]) == 4
    compare(name, capsys.readouterr().err, pid=waiting.pid, folder=tmp_path, terminal=os.ttyname(follower))
    assert left_behind(tmp_path) == before
    os.close(leader)
    os.close(follower)


def test_a_directory_of_others() -> None:
    def refusal(folder: Path) -> str:
        try:
            check_output(folder / "x")
        except SetupError as error:
            return f"{error.fact}\n{error.help}\n"
        return "allowed"

    with tempfile.TemporaryDirectory() as name:  # pytest's own may not even be looked into
        folder = Path(name)
        folder.chmod(0o755)
        compare("not_writable", as_nobody(lambda: refusal(folder)), folder=folder)


def test_standard_output_that_is_a_terminal(waiting: Target) -> None:
    leader, follower = os.openpty()
    done = subprocess.run(
        [*COMMAND, str(waiting.pid), "-o", "-"], stdout=follower, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 4
    compare("stdout_terminal", done.stderr)
    os.close(leader)
    os.close(follower)


def test_standard_output_that_nobody_reads(waiting: Target) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, str(waiting.pid), "-o", "-"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.returncode == 4
    compare("stdout_broken", done.stderr)


def test_no_room(waiting: Target, tmp_path: Path) -> None:
    """What was there stays; nothing else is."""
    path = tmp_path / "x"
    path.write_text("what was there")
    done = subprocess.run(
        [*COMMAND, str(waiting.pid), "-o", str(path)], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert done.returncode == 4
    compare("no_room", done.stderr, folder=tmp_path)
    assert path.read_text() == "what was there"
    assert left_behind(tmp_path) == ["x"]


def test_a_full_device(waiting: Target, capsys: Output) -> None:
    assert main(["snapshot", str(waiting.pid), "-o", "/dev/full"]) == 4
    compare("full_device", capsys.readouterr().err)


def test_it_replaces_what_is_there_and_follows_links(waiting: Target, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "link").symlink_to("old")
    assert main(["snapshot", str(waiting.pid), "-o", str(tmp_path / "link")]) == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "old").read_bytes().startswith(b"\x7fELF")
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o600
    told = re.sub(r"[0-9.]+ MB, stopped for [0-9.]+ ms", "<size> MB, stopped for <pause> ms", capsys.readouterr().err)
    compare("written", told, folder=tmp_path)


def test_a_name_of_its_own(waiting: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["snapshot", str(waiting.pid), "-q"]) == 0
    (name,) = left_behind(tmp_path)
    assert re.fullmatch(rf"lastwords-{waiting.pid}-\d{{8}}T\d{{6}}\.core", name)


def test_no_such_process(tmp_path: Path, capsys: Output) -> None:
    assert main(["snapshot", "4194304", "-o", str(tmp_path / "x")]) == 3
    compare("no_process", capsys.readouterr().err)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_at_any_moment(how: signal.Signals, waiting: Target, tmp_path: Path) -> None:
    """The file is not there, or whole, and nothing else is; the process runs on."""
    chance = random.Random(how)
    path = tmp_path / "x"
    seconds = ended = 0.0
    for number in range(INTERRUPTIONS // 3 if how != signal.SIGINT else INTERRUPTIONS):
        began = time.monotonic()
        with subprocess.Popen([*COMMAND, str(waiting.pid), "-o", str(path)], stderr=subprocess.PIPE) as process:
            if number:
                try:
                    process.wait(chance.uniform(0.1, 1.05) * seconds if number > 1 else 0)
                except subprocess.TimeoutExpired:
                    process.send_signal(how)
            _, said = process.communicate(timeout=PATIENCE)
        seconds = seconds or time.monotonic() - began
        assert b"lastwords: " not in said, said
        ended += process.returncode != 0
        wait_until(lambda: not tracer(waiting.pid) and not states(waiting.pid) & {"t", "T"}, "it runs on")
        if path.exists():
            assert read_core_report(path).threads
            path.unlink()
        assert left_behind(tmp_path) == []
    assert ended
    waiting.send_line()
    assert waiting.wait() == 0
