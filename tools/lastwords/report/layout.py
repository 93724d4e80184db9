"""Lines of a page: wrapped at its width, escaped, coloured where that was asked for."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import Literal

import click
import msgspec

from lastwords.model import Frame
from lastwords.report.clean import clean

Style = Callable[[str], str]
Native = Literal["all", "fold", "none"]  # fold: all but the interpreter's and the C library's own machinery
LONGEST_VALUE = 300
FEW_FRAMES = 8


class Page(msgspec.Struct, frozen=True):
    """How text is laid out. `details` asks for what is else left out; `native` says which C frames to show.

    each: tell one by one what is alike
    """

    width: int = 80
    colour: bool = False
    details: bool = False
    native: Native = "fold"
    each: bool = False

    def bold(self, text: str) -> str:
        """Bold where colour was asked for."""
        return click.style(text, bold=True) if self.colour else text

    def dim(self, text: str) -> str:
        """Faint where colour was asked for."""
        return click.style(text, dim=True) if self.colour else text

    def heading(self, text: str) -> str:
        """A line of its own over what follows."""
        return click.style(f"{text}:", fg="cyan") if self.colour else f"{text}:"

    def wrap(self, text: str, indent: str = "", hanging: str | None = None, style: Style = str) -> Iterator[str]:
        """The text in lines of the page's width; the first is indented by `indent`, the others by `hanging`."""
        lines = textwrap.wrap(
            clean(text),
            self.width,
            initial_indent=indent,
            subsequent_indent=indent if hanging is None else hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return map(style, lines)

    def paragraphs(self, text: str, indent: str) -> Iterator[str]:
        """Paragraphs wrapped; indented lines (code) and empty ones as they are."""
        block: list[str] = []
        for line in text.split("\n"):
            if line and not line.startswith(" "):
                block.append(line)
                continue
            yield from self.wrap(" ".join(block), indent)
            block = []
            yield f"{indent}{clean(line)}".rstrip()
        yield from self.wrap(" ".join(block), indent)

    def chain(self, frames: list[Frame]) -> Iterator[str]:
        """The frames' places, innermost first: a few without details, all with them."""
        shown = frames if self.details else frames[:FEW_FRAMES]
        for frame in shown:
            source = f"  {frame.source}" if frame.source else ""
            yield f"      {clean(f'{frame.file}:{frame.line}{source}')}"
        if len(shown) < len(frames):
            yield self.dim(f"      ... and {len(frames) - len(shown)} more: -v")


def shorten(text: str, limit: int = LONGEST_VALUE) -> str:
    """The text, cut where it is longer than the limit, and saying so."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def clip(text: str, width: int) -> str:
    """The text, cut at the width."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def format_number(name: str, ours: int, inside: int | None) -> str:
    """ "pid 4711"; of a process in a pid namespace of its own also what it calls itself:
    "pid 4711, 1 in its container".
    """
    return f"{name} {ours}, {inside} in its container" if inside is not None else f"{name} {ours}"
