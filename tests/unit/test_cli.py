"""The command line as a user meets it: help, versions, completion, outputs, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

import sample_reports as sample
from lastwords import __version__, diagnose
from lastwords.cli import main
from lastwords.cli.commands import COMMANDS
from lastwords.model import SCHEMA
from lastwords.report.json_report import encode
from schema import check_report

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "lastwords"]
Output = pytest.CaptureFixture[str]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "LASTWORDS_DEBUG")}
    return kept | {"PYTHONPATH": str(ROOT / "tools"), "TERM": "xterm"} | more


def start(*arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], check=False, capture_output=True, env=environment(**more), stdin=subprocess.DEVNULL
    )


@pytest.fixture
def saved(tmp_path: Path) -> str:
    path = tmp_path / "saved.json"
    path.write_bytes(encode(sample.original()))
    return str(path)


@pytest.fixture
def healthy(tmp_path: Path) -> str:
    path = tmp_path / "healthy.json"
    path.write_bytes(encode(sample.report()))
    return str(path)


def test_the_version_names_all_that_matters(capsys: Output) -> None:
    assert main(["--version"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"lastwords {__version__} (schema {SCHEMA}, CPython ")
    assert "\ngdb " in text and "\ndrgn " in text


def test_help_lists_every_command(capsys: Output) -> None:
    for arguments in ([], ["-h"], ["--help"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert all(f"  {name} " in text for name in COMMANDS)
        assert "Examples:\n" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example(name: str, capsys: Output) -> None:
    assert main([name, "-h"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: lastwords {name}" in text
    assert f"    lastwords {name}" in text.partition("Example")[2] or "(lastwords completion" in text
    assert max(map(len, text.splitlines())) <= 80


def test_each_commands_summary_is_its_own(capsys: Output) -> None:
    assert all(summary.endswith(".") and len(summary) < 66 for summary in COMMANDS.values())


NOT_FOR_HELP = {"msgspec", "lastwords.model", "lastwords.examine", "lastwords.diagnose", "dataclasses"}


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["-h"], NOT_FOR_HELP),
        (["--version"], {"lastwords.examine", "lastwords.diagnose"}),
        (["report", "nothing"], set()),
    ],
)
def test_starting_imports_nothing_that_was_not_asked_for(arguments: list[str], more: set[str]) -> None:
    code = (
        "import sys; from lastwords.cli import main; main(sys.argv[1:]); "
        "print(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    loaded = set(done.stderr.splitlines())
    assert "lastwords.cli" in loaded
    assert not loaded & {"pexpect", "elftools", "psutil", "drgn", "lastwords.cli.run", *more}


def test_report_shows_a_saved_report_again(saved: str, capsys: Output) -> None:
    assert main(["report", saved]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("threading was imported (pool.py:7) before gevent patched it (app.py:5)\n")
    assert shown.err == ""


def test_json_on_stdout_is_nothing_but_json(saved: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["report", saved, "--json", "-"]) == 0
    shown = capfdbinary.readouterr()
    document = check_report(shown.out)
    assert document["findings"][0]["code"] == "monkey-patch-order"
    assert shown.err == b""


def test_both_files_at_once(saved: str, tmp_path: Path, capsys: Output) -> None:
    json_file, text_file = tmp_path / "a.json", tmp_path / "a.txt"
    assert main(["report", saved, "--json", str(json_file), "--text", str(text_file)]) == 0
    check_report(json_file.read_bytes())
    assert text_file.read_text().startswith("threading was imported")
    assert capsys.readouterr().out == ""


def test_fail_on_finding(saved: str, healthy: str) -> None:
    assert main(["report", saved, "--fail-on", "finding", "-q"]) == 70
    assert main(["report", healthy, "--fail-on", "finding"]) == 0


@pytest.mark.parametrize("arguments", [["-q", "report"], ["report", "-q"], ["report", "--quiet"]])
def test_quiet_says_nothing_when_there_is_nothing(
    arguments: list[str], healthy: str, saved: str, capsys: Output
) -> None:
    assert main([*arguments, healthy]) == 0
    assert capsys.readouterr().out == ""
    assert main([*arguments, saved]) == 0
    assert capsys.readouterr().out != ""


def test_explain_takes_a_code_however_it_is_written(capsys: Output) -> None:
    assert main(["explain", "Hook_Failed"]) == 0
    assert capsys.readouterr().out.startswith("# hook-failed\n")


def test_explain_has_a_page_for_every_code(capsys: Output) -> None:
    assert main(["explain"]) == 0
    codes = capsys.readouterr().out.split()
    assert set(codes) == {*diagnose.DIAGNOSES, "exception-swallowed", "healthy"}
    for code in codes:
        assert main(["explain", code]) == 0
        page = capsys.readouterr().out
        assert page.startswith(f"# {code}\n")
        assert all(f"\n## {part}\n" in page for part in ("What it means", "Example", "What to do"))


@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        ("bash", {"COMP_WORDS": "lastwords rep", "COMP_CWORD": "1"}, b"plain,report\n"),
        ("bash", {"COMP_WORDS": "lastwords report --te", "COMP_CWORD": "2"}, b"plain,--text\n"),
        ("fish", {"COMP_WORDS": "lastwords doc", "COMP_CWORD": "doc"}, b"doctor"),
        ("zsh", {"COMP_WORDS": "lastwords expl", "COMP_CWORD": "1"}, b"explain"),
    ],
)
def test_completion(shell: str, words: dict[str, str], expected: bytes) -> None:
    script = start("completion", shell)
    assert script.returncode == 0
    assert b"_LASTWORDS_COMPLETE" in script.stdout
    assert expected in start(_LASTWORDS_COMPLETE=f"{shell}_complete", **words).stdout


def test_a_reader_that_went_away_is_no_error(saved: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run(
            [*COMMAND, "report", saved], check=False, stdout=output, stderr=subprocess.PIPE, env=environment()
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_closed_stderr_changes_nothing() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" 2>&-', "sh", *COMMAND, "nonsense"], check=False, capture_output=True, env=environment()
    )
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_closed_stdout_is_a_clear_error(saved: str) -> None:
    closed = ["sh", "-c", '"$@" >&-', "sh", *COMMAND, "report", saved]
    done = subprocess.run(closed, check=False, stderr=subprocess.PIPE, env=environment())
    assert done.returncode == 4
    assert done.stderr.startswith(b"lastwords: stdout is closed; there is nowhere to write the result\n")


def test_ctrl_c_kills_by_sigint_without_a_word() -> None:
    code = (
        "import os, signal, sys; import lastwords.cli, lastwords.cli.entry as entry\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "def interrupted(arguments): os.kill(os.getpid(), signal.SIGINT); signal.pause()\n"
        "entry._run = interrupted; sys.exit(lastwords.cli.main([]))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, check=False, capture_output=True, env=environment(), timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_only_on_a_terminal_that_wants_it(saved: str, more: dict[str, str], coloured: bool) -> None:
    shown = str(pexpect.run(" ".join([*COMMAND, "report", saved]), env=environment(**more), timeout=30))
    assert (r"\x1b[1m" in shown) is coloured
    assert b"\x1b[1m" not in start("report", saved).stdout


def test_the_modules_are_the_commands() -> None:
    folder = ROOT / "tools" / "lastwords" / "cli"
    commands = {path.stem for path in folder.glob("*.py") if "\ndef command(" in path.read_text()}
    assert commands <= set(COMMANDS)
