"""`make performance`: puts the tables of the last `make bench` into docs/performance.md, between its two marks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench_pause import OUTPUT, format_document

from interpreters import CHECKOUT
from pages import with_tables

PAGE = CHECKOUT / "docs" / "performance.md"


def main() -> int:
    """2 where there was no `make bench`."""
    if not OUTPUT.exists():
        sys.stderr.write(f"no {OUTPUT}: make bench\n")
        return 2
    tables = "\n".join(format_document(json.loads(OUTPUT.read_text())))
    PAGE.write_text(with_tables(PAGE.read_text(), tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
