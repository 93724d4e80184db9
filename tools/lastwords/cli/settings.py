"""Defaults of `run`'s options: `[tool.lastwords]` of the nearest pyproject.toml, then `LASTWORDS_*` of the environment.

What stands on the command line goes before both.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from lastwords.errors import UsageError
from lastwords.project import HELP, TABLE, find_file, read_table

PREFIX = "LASTWORDS_"
OF_PYTEST = "pytest"  # a key of the table that is the plugin's: see lastwords.pytest_plugin


class ConfiguredCommand(click.Command):
    """A command whose options may stand in the file and the environment, under their long names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, with these defaults; they are not looked at where help is asked for. Raises UsageError."""
        if not {"-h", "--help"} & set(args[:1]):
            ctx.default_map = dict(_read_defaults(self, ctx))
        return super().parse_args(ctx, args)


def options_of(command: click.Command) -> dict[str, click.Option]:
    """The options that may have defaults, by the names that these have: `hang-after`."""
    found = (one for one in command.params if isinstance(one, click.Option))
    return {_long_name(one): one for one in found if not one.is_eager and not one.hidden}


def _long_name(option: click.Option) -> str:
    return next((name for name in option.opts if name.startswith("--")), "").removeprefix("--")


def _read_defaults(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, Any]]:
    """By the names of click's parameters; what is in the environment last, so that it counts."""
    options = options_of(command)
    try:
        path = find_file(Path.cwd())
    except FileNotFoundError:  # the directory was removed
        path = None
    for key, value in read_table(path).items() if path else ():
        source = f"{path}: [{TABLE}] {key} = {_show(value)}"
        if key == OF_PYTEST:
            continue
        if key not in options:
            raise _unknown(path, key, [*options, OF_PYTEST])
        yield options[key].name or "", _check(options[key], ctx, value, source)
    for key, option in options.items():
        name = PREFIX + key.upper().replace("-", "_")
        text = os.environ.get(name)
        if text:
            yield option.name or "", _check(option, ctx, _from_text(option, text), f"{name}={text}")


def _unknown(path: Path | None, key: str, names: list[str]) -> UsageError:
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(names))}"
    return UsageError(f"{path}: [{TABLE}] has no key {key}{hint}", HELP)


def _check(option: click.Option, ctx: click.Context, value: Any, source: str) -> Any:  # noqa: ANN401 (of any type)
    """The value, if the option takes it. Raises UsageError that names where it stands."""
    wanted = _wanted(option)
    if not _fits(option, value):
        raise UsageError(f"{source}: that is to be {wanted}", HELP)
    try:
        option.process_value(click.Context(ctx.command, info_name=ctx.info_name), value)
    except click.BadParameter as error:
        message = error.message.rstrip(".")
        raise UsageError(f"{source}: {message[:1].lower() + message[1:]}", HELP) from error
    return value


def _fits(option: click.Option, value: object) -> bool:
    if option.is_flag:
        return isinstance(value, bool)
    if option.count:
        return isinstance(value, int) and not isinstance(value, bool)
    if option.multiple:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if option.metavar == "SECONDS":
        return isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return isinstance(value, str)


def _wanted(option: click.Option) -> str:
    if option.is_flag:
        return "true or false"
    if option.count:
        return "a number"
    if option.multiple:
        return "a list of texts"
    return "a number of seconds" if option.metavar == "SECONDS" else "a text"


def _from_text(option: click.Option, text: str) -> object:
    """What a variable's text means: words for an option that may be given more than once, 1 or 0 for a flag."""
    if option.multiple:
        return text.replace(",", " ").split()
    if option.count and text.isdecimal():
        return int(text)
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    return words.get(text.lower(), text) if option.is_flag else text


def _show(value: object) -> str:
    """As TOML has it, as far as it is short."""
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
