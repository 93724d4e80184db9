"""`lastwords core` without a file: what systemd-coredump kept, what coredumpctl knows, what core_pattern says."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from dumps import pack
from lastwords.capture.core import compressed, found
from lastwords.capture.core.found import FoundCore, find_core
from lastwords.capture.machine.core_pattern import CoreSettings
from lastwords.cli import main
from lastwords.errors import TargetError

CORES = Path(__file__).parents[1] / "cores"
GOLDEN = Path(__file__).parents[1] / "golden"
BOOT = "0123456789abcdef0123456789abcdef"
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty storage, no coredumpctl, a core_pattern that names nothing that is there."""
    folder = tmp_path / "coredump"
    folder.mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(found, "STORAGE", folder)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    set_pattern(monkeypatch, "|/usr/lib/systemd/systemd-coredump %P %u", tmp_path)
    return folder


def set_pattern(monkeypatch: pytest.MonkeyPatch, pattern: str, folder: Path, uses_pid: bool = False) -> None:
    settings = CoreSettings(pattern=pattern, uses_pid=uses_pid, limit=None, hard=None, directory=str(folder))
    monkeypatch.setattr(found, "read_core_settings", lambda _: settings)


def store(storage: Path, pid: int, seconds: int, content: bytes = b"", ends: str = ".zst") -> Path:
    path = storage / f"core.python3\\x2e11.1000.{BOOT}.{pid}.{seconds}000000{ends}"
    path.write_bytes(content)
    return path


def fake_coredumpctl(tmp_path: Path, listed: Sequence[dict[str, object]], dump: str = "exit 1") -> Path:
    """Lists these, and takes out by the commands `dump`; what it was asked for is in `asked`."""
    answer = tmp_path / "listed.json"
    answer.write_text(json.dumps(listed))
    program = tmp_path / "bin" / "coredumpctl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n'
        f'case "$*" in *list*) {shutil.which("cat", path="/usr/bin:/bin")} {answer};; *dump*) {dump};; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def listed(pid: int, seconds: int, kept: str) -> dict[str, object]:
    """As systemd 252 writes a line with --json=short."""
    whole = {"time": seconds * 1_000_000, "pid": pid, "uid": 1000, "gid": 1000, "sig": 11, "corefile": kept}
    return whole | {"exe": "/usr/bin/python3.11", "size": 1234}


def test_the_newest_of_the_storage(storage: Path) -> None:
    store(storage, 41, 100)
    newest = store(storage, 42, 300, ends=".lz4")
    store(storage, 41, 200, ends="")
    (storage / "core.of-somebody").write_bytes(b"")
    assert find_core(None) == FoundCore(300.0, 42, "python3.11", newest)
    assert find_core(41).time == 200.0
    with pytest.raises(TargetError):
        find_core(43)


def test_what_coredumpctl_knows(storage: Path, tmp_path: Path) -> None:
    kept = store(storage, 41, 100)
    known = [
        listed(41, 100, "present"),
        listed(42, 200, "journal"),
        listed(43, 300, "missing"),
        listed(44, 400, "none"),
    ]
    fake_coredumpctl(tmp_path, known)
    assert find_core(None) == FoundCore(200.0, 42, "python3.11", None)
    assert find_core(41).path == kept
    assert (tmp_path / "asked").read_text().splitlines()[-1] == "--no-pager --json=short list 41"
    with pytest.raises(TargetError):
        find_core(43)


@pytest.mark.parametrize("answer", ["", "no core dumps found", '[{"time": "yesterday"}]'])
def test_a_coredumpctl_that_says_something_else(storage: Path, tmp_path: Path, answer: str) -> None:
    fake_coredumpctl(tmp_path, [])
    (tmp_path / "listed.json").write_text(answer)
    kept = store(storage, 41, 100)
    assert find_core(None).path == kept


@pytest.mark.parametrize(
    ("pattern", "uses_pid", "name", "pid"),
    [
        ("core", False, "core", None),
        ("core", True, "core.42", 42),
        ("core.%e.%p", False, "core.python3.42", 42),
        ("core-%E-100%%-%P-%t", False, "core-!usr!bin!python3-100%-42-1700000000", 42),
        ("c[o]re?%p", False, "c[o]re?42", 42),
    ],
)
def test_files_by_core_pattern(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pattern: str, uses_pid: bool, name: str, pid: int | None
) -> None:
    cores = tmp_path / "cores"
    cores.mkdir()
    (cores / name).write_bytes(b"")
    (cores / f"{name}.gz").mkdir()
    for kind, folder in (("absolute", tmp_path), ("relative", cores)):
        set_pattern(monkeypatch, pattern if kind == "relative" else f"{cores}/{pattern}", folder, uses_pid)
        core = find_core(pid)
        assert (core.path, core.pid) == (cores / name, pid)


def test_one_whose_name_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_pattern(monkeypatch, "core.%t", tmp_path)
    facts = json.loads((CORES / "py3.11.json").read_text())
    (tmp_path / "core.1").write_bytes(b"no core")
    shutil.copy(CORES / "py3.11.core.xz", tmp_path / "core.2")
    assert facts
    from lastwords.capture.core.corefile import open_core  # noqa: PLC0415

    pid = open_core(tmp_path / "core.2").pid
    assert find_core(pid).path == tmp_path / "core.2"


@pytest.mark.parametrize("how", ["zstd", "lz4", "xz", "plain"])
def test_the_command_reads_it(how: str, storage: Path, capfd: Output) -> None:
    whole = unpacked(CORES / "py3.11.core.xz")
    path = store(
        storage, 42, 1_000_000, pack(how, whole), {"zstd": ".zst", "lz4": ".lz4", "xz": ".xz", "plain": ""}[how]
    )
    assert main(["core", "--json", "-"]) in (0, 5)
    shown = capfd.readouterr()
    assert json.loads(shown.out)["mode"] == "core"
    assert shown.err.startswith("lastwords: the newest core of process 42 (python3.11), ")
    assert shown.err.endswith(f" days old: {path}\n")


def unpacked(path: Path) -> bytes:
    import lzma  # noqa: PLC0415

    return lzma.decompress(path.read_bytes())


def test_the_command_has_coredumpctl_take_it_out(tmp_path: Path, capfd: Output) -> None:
    core = tmp_path / "a-core"
    core.write_bytes(unpacked(CORES / "py3.11.core.xz"))
    copies = f'{shutil.which("cp", path="/usr/bin:/bin")} {core} "${{4#--output=}}"'
    fake_coredumpctl(tmp_path, [listed(42, 100, "journal")], copies)
    assert main(["core", "42", "--json", "-", "-q"]) in (0, 5)
    shown = capfd.readouterr()
    assert (json.loads(shown.out)["mode"], shown.err) == ("core", "")
    asked = (tmp_path / "asked").read_text().splitlines()[-1]
    assert asked.startswith("--no-pager dump 42 --output=")
    assert not Path(asked.partition("--output=")[2]).exists()


def compare(name: str, text: str, tmp_path: Path) -> None:
    text = text.replace(str(tmp_path), "DIRECTORY")
    golden = GOLDEN / f"core_found_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Output) -> None:
    patterns = {
        "systemd": "|/usr/lib/systemd/systemd-coredump %P",
        "file": "core.%p",
        "apport": "|/usr/share/apport/apport -p%p",
    }
    for name, pattern in patterns.items():
        set_pattern(monkeypatch, pattern, tmp_path)
        assert main(["core"]) == 3
        compare(name, capfd.readouterr().err, tmp_path)
    fake_coredumpctl(tmp_path, [])
    assert main(["core", "4711"]) == 3
    compare("of_process", capfd.readouterr().err, tmp_path)


def test_coredumpctl_fails(tmp_path: Path, capfd: Output) -> None:
    fake_coredumpctl(tmp_path, [listed(42, 100, "journal")], "echo 'Cannot read: Permission denied' >&2; exit 1")
    assert main(["core", "42", "-q"]) == 4
    compare("not_taken_out", capfd.readouterr().err, tmp_path)


def test_the_names_of_packings_are_those_that_are_read() -> None:
    assert {one.name for one in compressed.FORMATS} >= {"zstd", "lz4", "xz"}
