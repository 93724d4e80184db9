"""`make performance`: puts the tables of the last `make harm` into docs/harm.md, between its two marks."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator

from harm.peers import OURS, find_peers, versions
from harm.run import OUTPUT, PARTS, format_table
from interpreters import CHECKOUT
from pages import with_tables

PAGE = CHECKOUT / "docs" / "harm.md"
TITLES = {
    "kills": "SIGKILL to a tool while it looks at a server under load",
    "freezes": "SIGSTOP to lastwords",
    "attaches": "What the clients of a server notice",
    "calls": "System calls that wait, while a tool looks three times",
    "signals": "Signals that come while a tool looks",
    "stages": "Ends of lastwords at each stage of its work",
}


def format_page() -> Iterator[str]:
    """The lines between the marks. What was not measured is not there."""
    tools = ", ".join(versions([*OURS, *find_peers()]))
    yield f"Linux {platform.release()}, {os.cpu_count()} processors, with {tools}."
    for part in PARTS:
        kept = OUTPUT / f"{part}.json"
        if kept.exists():
            found = json.loads(kept.read_text())
            yield ""
            yield f"## {TITLES[part]}"
            yield ""
            yield f"`ARGS='--only {part}'`; load average before: {found['load']:.1f}."
            for headings, lines in found["tables"]:
                yield from format_table((headings, lines))


def main() -> int:
    """2 where there was no `make harm`."""
    if not OUTPUT.exists():
        sys.stderr.write(f"no {OUTPUT}: make harm\n")
        return 2
    PAGE.write_text(with_tables(PAGE.read_text(), "\n".join(format_page())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
