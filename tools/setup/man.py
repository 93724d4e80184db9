"""`make man`: man/lastwords.1, made from what `lastwords -h` and `lastwords COMMAND -h` say.

`python tools/setup/man.py --check` writes nothing and ends with 1 if the page is not what it would write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from lastwords import __version__
from lastwords.cli.commands import lastwords

PAGE = Path(__file__).resolve().parents[2] / "man" / "lastwords.1"


def main() -> int:
    """Write the page, or check it."""
    page = make_page()
    if "--check" in sys.argv:
        return 0 if PAGE.is_file() and PAGE.read_text() == page else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page)
    return 0


def make_page() -> str:
    """The page in roff: the group first, then one section for each command. No date: the same help, the same page."""
    with _make_context(lastwords, "lastwords") as context:
        return "\n".join(_format_page(context)) + "\n"


def _make_context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    """As for a real call, so that the help options are those of the command line."""
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def _format_page(context: click.Context) -> Iterator[str]:
    group = context.command
    assert isinstance(group, click.Group)
    yield f'.TH LASTWORDS 1 "" "lastwords {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"lastwords \\- {_escape(_first_sentence(group))}"
    yield ".SH SYNOPSIS"
    yield f".B lastwords\n{_escape(' '.join(group.collect_usage_pieces(context)))}"
    yield from _format_options(context, ".SH OPTIONS")
    yield from _format_examples(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, f"{name} is listed and not there"
        with _make_context(command, name, context) as inner:
            yield from _format_command(inner)


def _format_command(context: click.Context) -> Iterator[str]:
    command = context.command
    yield f'.SH "{_escape(context.command_path.upper())}"'
    yield f".B {_escape(context.command_path)}\n{_escape(' '.join(command.collect_usage_pieces(context)))}"
    yield from _format_text(command.help or "")
    yield from _format_options(context, ".PP\nOptions:")
    yield from _format_examples(command)


def _first_sentence(command: click.Command) -> str:
    return (command.help or "").strip().split("\n")[0].rstrip(".")


def _format_text(text: str) -> Iterator[str]:
    """Paragraphs; those that begin with \\b keep their lines, as they do in the help."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        kept = paragraph.strip().startswith("\b")
        lines = [line for line in paragraph.split("\n") if line.strip() not in ("", "\b")]
        yield ".PP"
        yield from [".nf", *map(_escape, lines), ".fi"] if kept else [_escape(line.strip()) for line in lines]


def _format_options(context: click.Context, heading: str) -> Iterator[str]:
    options = [one for one in context.command.get_params(context) if isinstance(one, click.Option)]
    records = [record for one in options if (record := one.get_help_record(context))]
    if records:
        yield heading
    for option, text in records:
        yield f".TP\n.B {_escape(option)}\n{_escape(text)}"


def _format_examples(command: click.Command) -> Iterator[str]:
    if command.epilog:
        yield from _format_text(command.epilog)


def _escape(text: str) -> str:
    """Text as roff takes it: a backslash is one, a hyphen can be pasted, a leading dot is no request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.exit(main())
