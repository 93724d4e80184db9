"""Writes docs/report.schema.json from the model. A test fails where the two differ."""

from __future__ import annotations

import json
from pathlib import Path

from lastwords.model import SCHEMA, json_schema

SCHEMA_FILE = Path(__file__).parents[1] / "docs" / "report.schema.json"


def format_schema() -> str:
    """The schema as it is published: JSON, indented, ending in a newline."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"lastwords report, schema {SCHEMA}"}
    return json.dumps(head | json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(format_schema(), encoding="utf-8")
