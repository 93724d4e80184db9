"""What came out of a target is hostile: its text is escaped before a terminal or a reader sees it."""

from __future__ import annotations


def clean(text: str) -> str:
    """The text with everything that is not printable as its escape (`\\x1b`, `\\u202e`); newlines too."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def clean_lines(text: str, limit: int = 60) -> list[str]:
    """The text's lines, each cleaned; what is past the limit is counted, not dropped in silence."""
    lines = [clean(line.expandtabs(4)) for line in text.split("\n")]
    if len(lines) <= limit:
        return lines
    return [*lines[:limit], f"... and {len(lines) - limit} more lines"]


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
