"""Checks a report against the published JSON Schema."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA_FILE = Path(__file__).parents[1] / "docs" / "report.schema.json"


@cache
def _validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check_report(document: bytes | dict[str, Any]) -> dict[str, Any]:
    """The report as plain data; fails with every place that breaks the schema, and where an id is not unique."""
    data: dict[str, Any] = json.loads(document) if isinstance(document, bytes) else document
    broken = [f"{error.json_path}: {error.message}" for error in _validator().iter_errors(data)]
    assert not broken, "\n".join(broken)
    ids = [
        one["id"]
        for part in data.values()
        if isinstance(part, list)
        for one in part
        if isinstance(one, dict) and "id" in one
    ]
    assert len(ids) == len(set(ids)), f"ids are not unique: {sorted(ids)}"
    return data
