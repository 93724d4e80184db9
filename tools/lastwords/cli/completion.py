"""`lastwords completion`: what makes a shell complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from lastwords.cli.commands import help_settings, lastwords
from lastwords.cli.entry import COMPLETE_VARIABLE
from lastwords.cli.output import print_result, verbosity_options

EPILOG = """
\b
Examples:
  eval "$(lastwords completion bash)"
  eval "$(lastwords completion zsh)"
  lastwords completion fish | source
"""


@click.command(epilog=EPILOG, context_settings=help_settings())
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@verbosity_options
def command(shell: str) -> None:
    """Print the script that makes SHELL complete lastwords' commands and options: bash, zsh or fish."""
    kind = get_completion_class(shell)
    assert kind is not None, f"click has no completion for {shell}"
    script = kind(lastwords, {}, "lastwords", COMPLETE_VARIABLE).source()
    print_result(script.splitlines())
