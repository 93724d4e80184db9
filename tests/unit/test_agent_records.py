"""The agent's channel, environment and records, without a process."""

from __future__ import annotations

import fcntl
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastwords.capture.agent import ORDERS, SILENT, Channel, add_to, agent_archive, agent_environ, hunter_directory
from lastwords.capture.agent_records import read_records
from lastwords.model import Process, Report, Tool

HUNTER = Path("/data/hunter")
HELLO = {
    "kind": "hello",
    "pid": 7,
    "n": 1,
    "tid": 1,
    "ppid": 6,
    "version": "3.12.1 (main)",
    "executable": "/usr/bin/py thon",
    "cwd": "/",
    "implementation": "cpython",
    "hunter_at_start": False,
}


def lines(*records: Mapping[str, object]) -> bytes:
    return b"".join(
        json.dumps({"pid": 7, "n": n, "tid": 1} | dict(record)).encode() + b"\n" for n, record in enumerate(records)
    )


@pytest.mark.parametrize(
    ("path", "changed", "state"),
    [(None, "/proc/self/fd/9", "absent"), ("", "/proc/self/fd/9", "empty"), ("/a:", "/proc/self/fd/9:/a:", "given")],
)
def test_the_environment_keeps_what_it_needs_to_be_undone(path: str | None, changed: str, state: str) -> None:
    before = {"HOME": "/root"} | ({} if path is None else {"PYTHONPATH": path})
    after = agent_environ(before, 8, 9, HUNTER)
    assert after == before | {"PYTHONPATH": changed, ORDERS: f"fd=8 zip=9 path={state} hunter={HUNTER}"}


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"LASTWORDS_HUNTER": "/x y"}, "/x y"),
        ({"XDG_DATA_HOME": "/d", "HOME": "/h"}, "/d/lastwords/hunter"),
        ({"HOME": "/h"}, "/h/.local/share/lastwords/hunter"),
    ],
)
def test_where_hunter_is_looked_for(environ: dict[str, str], directory: str) -> None:
    assert hunter_directory(environ) == Path(directory)


def test_the_archive_is_one_that_old_pythons_read_without_a_codec_or_zlib() -> None:
    with zipfile.ZipFile(io.BytesIO(agent_archive())) as archive:
        assert archive.testzip() is None
        assert "sitecustomize.py" in archive.namelist()
        assert all(info.flag_bits & 0x800 and info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


def test_the_descriptors_are_high_appending_and_ours_alone_until_they_are_passed_on() -> None:
    with Channel() as channel:
        for fd in channel.fds:
            assert fd >= 10
            assert not os.get_inheritable(fd)
            assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
        lowest = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest)
        assert lowest < min(channel.fds)


def test_damaged_lines_are_counted_and_the_rest_is_read() -> None:
    data = lines(HELLO) + b'{"kind": "hel\n[1]\nnull\n{"kind": 1, "pid": 7, "n": 3}\n' + b"\xff\xfe\n"
    said = read_records(data)
    assert list(said.hellos) == [7]
    assert said.problems == ["5 of the agent's records could not be read; what they told is missing"]


def test_records_that_are_not_what_they_say_are_counted() -> None:
    said = read_records(lines(HELLO, {"kind": "import"}, {"kind": "return", "id": 5}, {"kind": "no such"}))
    assert said.problems == ["3 records of the agent in process 7 were not what is expected"]


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    read_records(data)


def test_an_import_that_failed_was_none() -> None:
    told = {"kind": "import", "module": "ssl", "order": 0, "chain": [["a.py", 1, "f", None, "a"]]}
    assert read_records(lines(HELLO, told, {"kind": "import_failed", "module": "ssl"})).imports.watched == []


def test_bytes_of_python_2_are_utf8() -> None:
    told = {"kind": "import", "module": "ssl", "order": 0, "chain": [["\xc3\xa4.py", 1, "f", None, "a"]], "bytes": True}
    (watched,) = read_records(lines(HELLO, told)).imports.watched
    assert watched.first_importer[0].file == "ä.py"


def test_a_file_that_is_none_is_not_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    told = {"kind": "import", "module": "ssl", "order": 0, "chain": [[str(fifo), 1, "f", None, "a"]]}
    (watched,) = read_records(lines(HELLO, told)).imports.watched
    assert watched.first_importer[0].source is None


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"why": "no hunter", "error": "ImportError: No module named hunter"},
            "process 7: the shutdown was not traced, because hunter cannot be imported there (ImportError: No module "
            "named hunter); install it:  '/usr/bin/py thon' -m pip install --target /data/hunter/3.12 'hunter>=3.4'",
        ),
        (
            {"why": "old hunter", "error": "TypeError: no"},
            "process 7: the shutdown was not traced, because the hunter there is too old (TypeError: no); install a "
            "newer one:  '/usr/bin/py thon' -m pip install --target /data/hunter/3.12 'hunter>=3.4'",
        ),
        (
            {"why": "busy"},
            "process 7: the shutdown was not traced, for the program has a trace or profile function of its own",
        ),
        ({"why": "full"}, "process 7: the trace of the shutdown ends after its first 20,000 events"),
        ({"why": "failed", "error": "KeyError: 1"}, "process 7: the trace of the shutdown broke off (KeyError: 1)"),
    ],
)
def test_why_there_is_no_trace(record: dict[str, object], message: str) -> None:
    said = read_records(lines(HELLO, {"kind": "untraced"} | record), hunter=HUNTER)
    assert said.untraced == [message]


def test_hunter_for_python_2_is_the_last_that_it_takes() -> None:
    told = {"kind": "untraced", "why": "no hunter", "error": "x"}
    said = read_records(lines(HELLO | {"version": "2.7.18 (x)"}, told), hunter=HUNTER)
    assert said.untraced[0].endswith("-m pip install --target /data/hunter/2.7 hunter==3.3.8")


def test_a_hunter_that_loads_itself_is_told() -> None:
    (problem,) = read_records(lines(HELLO | {"hunter_at_start": True}), hunter=HUNTER).problems
    assert "hunter.pth" in problem


def test_what_was_said_goes_into_the_report() -> None:
    report = Report(tool=Tool(version="0"), mode="trace", captured_at="", processes=[Process(id="process-9", pid=9)])
    add_to(report, read_records(lines(HELLO, {"kind": "libraries", "versions": {"gevent": "1"}})))
    silent, spoke = report.processes
    assert (silent.agent, spoke.agent) == (SILENT, "it spoke")
    assert spoke.python is not None
    assert (spoke.id, spoke.python.version, spoke.libraries) == ("process-7", "3.12.1", {"gevent": "1"})


def test_processes_without_hunter_share_a_line_and_the_command_of_the_interpreter_they_run() -> None:
    told = {"kind": "untraced", "why": "no hunter", "error": "x"}
    said = read_records(lines(HELLO, told, told | {"pid": 8}, told | {"pid": 9}), hunter=HUNTER)
    (line,) = said.untraced
    assert line.startswith(f"processes {HELLO['pid']}, 8, 9: the shutdown was not traced")
    assert "'/usr/bin/py thon' -m pip install --target /data/hunter/3.12" in line
