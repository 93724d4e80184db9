"""The list of sub-commands, and the group that imports one only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from lastwords.cli.output import verbosity_options
from lastwords.collector import all_kept
from lastwords.errors import UsageError

COMMANDS = {
    "run": "Run a program and report what it swallows or dies of.",
    "trace": "Run a program and trace its shutdown, without gdb.",
    "guard": "Run a program and fail if it is patched too late.",
    "ps": "List the Python processes here, and which of them may be read.",
    "attach": "Show what a live process is doing, from outside.",
    "snapshot": "Keep one moment of a live process in a small core file.",
    "core": "Show what a process was doing when it died, from its core file.",
    "gdb": "Open a process or a core in gdb, with what lastwords reads.",
    "report": "Show a saved report again.",
    "explain": "Explain a finding's code.",
    "doctor": "Say what is here, what is missing, and what mends it.",
    "completion": "Print the completion script of a shell.",
}

EPILOG = """
\b
Examples:
  lastwords run -- python app.py
  lastwords trace -- python app.py
  lastwords doctor
"""


class Commands(click.Group):
    """Sub-commands by name; each lives in the module of its name and is imported when it runs or shows its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: D102 (click's)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: D102
        if cmd_name not in COMMANDS:
            return None
        with all_kept():
            command: click.Command = import_module(f"lastwords.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: D102
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """As click does it; an error of a command's options names that command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            name = ctx.invoked_subcommand
            command = self.get_command(ctx, name) if name and error.ctx is None else None
            if command:
                error.ctx = click.Context(command, info_name=name, parent=ctx)
            raise

    def resolve_command(  # noqa: D102
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise _no_such_command(args[0])
        return super().resolve_command(ctx, args)


def _no_such_command(name: str) -> UsageError:
    import difflib  # noqa: PLC0415 (start-up time: only mistakes need it)

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    if near:
        return UsageError(f"no such command: {name}; the nearest is {near[0]}", f"lastwords {near[0]} -h")
    return UsageError(f"no such command: {name}; to run a program, write it after `run --`", "lastwords -h")


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from lastwords.cli.surroundings import format_versions  # noqa: PLC0415 (start-up time)

    for line in format_versions():
        click.echo(line)
    ctx.exit()


def help_settings(**more: object) -> dict[str, Any]:
    """What every command's `context_settings` is: `-h`, and lines no wider than 80."""
    return {"help_option_names": ["-h", "--help"], "max_content_width": 80, **more}


@click.group(cls=Commands, invoke_without_command=True, context_settings=help_settings(), epilog=EPILOG)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="The versions of lastwords, its schema, gdb and drgn.",
)
@verbosity_options
@click.pass_context
def lastwords(ctx: click.Context) -> None:
    """What a Python process was trying to say when it died."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
