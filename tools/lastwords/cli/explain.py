"""`lastwords explain`: the page of a finding's code."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

import click

from lastwords.cli.commands import help_settings
from lastwords.cli.output import print_result, verbosity_options
from lastwords.errors import UsageError

EPILOG = """
\b
Example:
  lastwords explain monkey-patch-order
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("code", required=False)
@verbosity_options
def command(code: str | None) -> None:
    """Explain the finding CODE: what it means, an example, the usual causes, the fix. Without CODE, list them."""
    pages = find_pages()
    print_result(pages[_check(code, pages)].read_text("utf-8").splitlines() if code else sorted(pages))


def find_pages() -> dict[str, Path]:
    """The pages by code: installed inside the package, or in docs/ of a checkout."""
    installed = Path(str(resources.files("lastwords"))) / "findings"
    checkout = Path(__file__).parents[3] / "docs" / "findings"
    folder = installed if installed.is_dir() else checkout
    return {page.stem: page for page in folder.glob("*.md")}


def _check(code: str, pages: dict[str, Path]) -> str:
    written = code.lower().replace("_", "-")
    if written in pages:
        return written
    near = difflib.get_close_matches(code, pages, n=1)
    hint = f"; the nearest is {near[0]}" if near else ""
    raise UsageError(f"no such finding: {code}{hint}", f"lastwords explain {near[0]}" if near else "lastwords explain")
