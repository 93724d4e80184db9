"""Defaults of `run`: command line, environment, the nearest pyproject.toml, in this order; what is wrong is said."""

# ruff: noqa: ANN401 - what `run` was asked for

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from lastwords.cli import main, run, settings
from lastwords.cli.output import verbosity
from lastwords.cli.settings import options_of
from lastwords.errors import UsageError
from lastwords.project import find_file

GOLDEN = Path(__file__).parents[1] / "golden" / "settings"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """asked(toml, *words): what `run` was asked for: its options, outputs, actions, verbosity."""
    seen: dict[str, Any] = {}

    def stop(_: object, __: object, options: Any) -> None:
        hangs = options.on_hang
        seen.update(limits=options.limits, outputs=hangs.outputs, actions=hangs.actions, verbosity=verbosity())
        seen.update(children=options.children, linger=options.linger)
        raise UsageError("stopped")

    monkeypatch.setattr(run, "run", stop)
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("LASTWORDS_"):
            monkeypatch.delenv(name) if name != "LASTWORDS_GOLDEN" else None

    def ask(toml: str, *words: str) -> dict[str, Any]:
        seen.clear()
        Path("pyproject.toml").write_text(toml)
        main(["run", *words, "--", "true"])
        return dict(seen)

    return ask


def table(text: str) -> str:
    return f"[tool.lastwords]\n{text}\n"


def test_the_file_the_environment_the_command_line(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for without in ("[project]\nname = 'x'\n", "[tool]\npytest = 'lastwords'", 'tool = "lastwords"'):
        assert asked(without)["limits"].timeout is None
    assert asked(table("timeout = 600"))["limits"].timeout == 600
    monkeypatch.setenv("LASTWORDS_TIMEOUT", "30")
    assert asked(table("timeout = 600"))["limits"].timeout == 30
    assert asked(table("timeout = 600"), "--timeout", "5")["limits"].timeout == 5
    monkeypatch.setenv("LASTWORDS_TIMEOUT", "")
    assert asked(table("timeout = 600"))["limits"].timeout == 600


def test_every_kind_of_option(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = (
        'json = "report.json"\nredact = true\nno-children = true\nlinger = 2\non-hang = ["core", "kill"]\nquiet = true'
    )
    seen = asked(table(toml + '\nfail-on = "finding"\nhang-after = 1.5\npytest = true'))
    assert (seen["outputs"].json, seen["outputs"].redact, seen["outputs"].fail_on) == ("report.json", True, "finding")
    assert (seen["children"], seen["linger"], seen["actions"]) == (False, 2, {"core", "kill"})
    assert (seen["limits"].hang_after, seen["verbosity"]) == (1.5, -1)
    assert asked(table("quiet = true"), "-v")["verbosity"] == 1
    monkeypatch.setenv("LASTWORDS_ON_HANG", "core, gdb")
    monkeypatch.setenv("LASTWORDS_REDACT", "0")
    seen = asked(table(toml))
    assert (seen["actions"], seen["outputs"].redact) == ({"core", "gdb"}, False)


def test_what_a_project_wants_at_a_hang_says_nothing_of_when(asked: Any) -> None:
    assert asked(table('on-hang = ["core"]'))["actions"] == {"core"}


def test_the_nearest_file_upwards(tmp_path: Path) -> None:
    inner = tmp_path / "src" / "package"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    assert find_file(inner) == tmp_path / "pyproject.toml"
    (tmp_path / "src" / "pyproject.toml").write_text("")
    assert find_file(inner) == tmp_path / "src" / "pyproject.toml"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_that_a_stranger_put_into_a_directory_of_everybodys_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("")
    os.chown(path, 12345, 12345)
    assert find_file(tmp_path) == path
    tmp_path.chmod(0o1777)
    assert find_file(tmp_path) != path


def test_every_option_of_run_has_a_name_for_both() -> None:
    command = run.command
    names = options_of(command)
    exposed = {one.name for one in command.params if isinstance(one, click.Option) and one.name != "help"}
    assert {one.name for one in names.values()} == exposed
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)
    assert settings.OF_PYTEST not in names


WRONG: dict[str, tuple[str, dict[str, str]]] = {
    "unknown_key": (table("timeot = 600"), {}),
    "unknown_key_like_none": (table("xyzzy = 1"), {}),
    "underscore": (table("hang_after = 5"), {}),
    "negative": (table("timeout = -5"), {}),
    "flag_as_text": (table('redact = "yes"'), {}),
    "seconds_as_flag": (table("timeout = true"), {}),
    "text_as_number": (table("json = 5"), {}),
    "one_as_text": (table('on-hang = "core"'), {}),
    "unknown_choice": (table('on-hang = ["cores"]'), {}),
    "linger_words": (table('linger = "long"'), {}),
    "not_toml": ("[tool.lastwords\ntimeout = 600\n", {}),
    "no_table": ('[tool]\nlastwords = "yes"\n', {}),
    "variable": ("", {"LASTWORDS_TIMEOUT": "soon"}),
    "variable_flag": ("", {"LASTWORDS_REDACT": "perhaps"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_golden(name: str, asked: Any, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    toml, variables = WRONG[name]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert asked(toml) == {}
    said = capsys.readouterr().err.replace(str(Path.cwd()), "/project")
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(said)
    assert said == golden.read_text()


def test_every_golden_file_has_its_test() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(WRONG)


def test_help_is_shown_whatever_stands_there(asked: Any, capsys: Output) -> None:
    Path("pyproject.toml").write_text(table("xyzzy = 1"))
    assert main(["run", "-h"]) == 0
    assert "LASTWORDS_TIMEOUT" in capsys.readouterr().out
