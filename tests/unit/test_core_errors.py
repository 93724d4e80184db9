"""What `lastwords core` says of files that it cannot read, word for word: tests/golden/core_NAME.txt."""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import sys
from pathlib import Path

import pytest

from elf_samples import BUILD_ID, PAGE, make_program, make_sample_core
from lastwords.capture.core import compressed
from lastwords.cli import main
from make_core import pack_core, pack_note

CORES = Path(__file__).parents[1] / "cores"
Output = pytest.CaptureFixture[str]
OWN_ID, OTHER_ID = bytes(range(20)), bytes(range(20, 40))

GOLDEN = Path(__file__).parents[1] / "golden"

CASES: dict[str, tuple[list[str], int]] = {
    "missing": (["nowhere.core"], 4),
    "directory": (["."], 4),
    "device": (["/dev/null"], 4),
    "empty": (["empty"], 3),
    "not_elf": (["notes.txt"], 3),
    "program": (["prog"], 3),
    "32_bit": (["32-bit"], 3),
    "big_endian": (["big-endian"], 3),
    "other_machine": (["aarch64"], 3),
    "headers_cut": (["headers-cut"], 3),
    "headers_damaged": (["headers-damaged"], 3),
    "cut": (["cut"], 4),
    "packed_cut": (["packed-cut"], 4),
    "not_python": (["not-python"], 3),
    "program_missing": (["core"], 4),
    "other_program": (["core", "other"], 3),
    "executable_missing": (["core", "nowhere"], 4),
    "executable_not_elf": (["core", "notes.txt"], 4),
    "executable_not_python": (["core", "prog"], 3),
    "names_no_files": (["no-files", "prog"], 3),
    "roots_missing": (["roots-missing"], 3),
}


def compare(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    core = make_sample_core(make_program(OWN_ID))
    real = lzma.decompress((CORES / "py3.8.core.xz").read_bytes())
    contents = {
        "empty": b"",
        "notes.txt": b"Dear diary",
        "prog": make_program(OWN_ID),
        "other": make_program(OTHER_ID),
        "core": core,
        "32-bit": core[:4] + b"\x01" + core[5:],
        "big-endian": core[:5] + b"\x02" + core[6:16] + b"\x00\x04" + core[18:],
        "aarch64": core[:18] + b"\xb7" + core[19:],
        "headers-cut": core[:100],
        "headers-damaged": core[:54] + b"\x07" + core[55:],
        "cut": core[: -PAGE + 40],
        "packed-cut": gzip.compress(core, 0)[:1000],
        "not-python": make_sample_core(make_program(OWN_ID, is_dynamic=False)),
        "no-files": pack_core(pack_note(b"CORE\0", BUILD_ID, b""), [(PAGE, bytes(PAGE), 6)]),
        "roots-missing": without_writable(real),
    }
    for name, content in contents.items():
        Path(name).write_bytes(content)


def without_writable(core: bytes) -> bytes:
    """The core without the data of its writable segments."""
    from lastwords.capture.core.headers import HEADER, PROGRAM_HEADER, WRITABLE  # noqa: PLC0415

    data = bytearray(core)
    for number in range(HEADER.unpack_from(core)[10]):
        at = HEADER.size + number * PROGRAM_HEADER.size
        header = list(PROGRAM_HEADER.unpack_from(core, at))
        if header[1] & WRITABLE:
            header[5] = 0
        PROGRAM_HEADER.pack_into(data, at, *header)
    return bytes(data)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, capsys: Output) -> None:
    arguments, code = CASES[name]
    assert main(["core", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    compare(f"core_{name}", shown.err)


@pytest.mark.usefixtures("files")
def test_golden_forbidden(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("lastwords.capture.core.headers.os.open", refuse)
    assert main(["core", "core"]) == 4
    compare("core_forbidden", capsys.readouterr().err)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("package", ["zstandard", "lz4.frame"])
def test_golden_package_missing(package: str, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    how = next(one for one in compressed.FORMATS if package.startswith(one.package or "-"))
    Path("packed").write_bytes(how.magic + bytes(100))
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["core", "packed"]) == 4
    compare(f"core_without_{how.name}", capsys.readouterr().err)


@pytest.mark.usefixtures("files")
def test_golden_disk_full(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lastwords.capture.core.compressed.os.pwrite", fail)
    monkeypatch.setattr("lastwords.capture.core.compressed.tempfile.gettempdir", lambda: "/tmp")
    Path("packed").write_bytes(lzma.compress(Path("core").read_bytes()))
    assert main(["core", "packed"]) == 4
    compare("core_disk_full", capsys.readouterr().err)


@pytest.mark.usefixtures("files")
def test_golden_incomplete(capsys: Output) -> None:
    """A report all the same, and exit code 5."""
    real = Path("roots-missing")
    whole = lzma.decompress((CORES / "py3.13.core.xz").read_bytes())
    real.write_bytes(whole[:-PAGE])
    assert main(["core", str(real)]) == 5
    shown = capsys.readouterr()
    assert "is cut off: " in shown.out
    assert "__bootstrap_inner" in shown.out or "_bootstrap_inner" in shown.out
