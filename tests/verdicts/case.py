"""What a case is: a folder with case.json (the format is told in tests/verdicts/README.md) and its program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from environments import Environment, environment_for, gevent_for, hunter_for
from interpreters import find_python

OWN = Path(__file__).resolve().parent / "cases"
EVIDENCE = 8  # pieces of it in which a line counts
Json = Mapping[str, Any]
Verdict = Literal["right", "wrong code", "wrong place", "false alarm", "nothing", "no report", "skipped"]


@dataclass(frozen=True)
class Case:
    """One program, and the first finding that it must get: one of `codes`, naming one of `lines` (FILE:LINE)."""

    folder: Path
    kind: Literal["exit", "hang"]
    run: Json
    environments: tuple[str, ...]
    codes: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.folder.name

    def with_files(self, names: Mapping[str, str]) -> Case:
        """The same, its files called otherwise."""
        lines = tuple(
            f"{names.get(file, file)}:{number}" for file, _, number in (one.partition(":") for one in self.lines)
        )
        return replace(self, run={**self.run, "cmd": [names.get(word, word) for word in self.run["cmd"]]}, lines=lines)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong in it: any finding but `healthy` is a false alarm."""
        return self.codes == ("healthy",)


def read_cases(folder: Path, names: list[str] | None = None) -> list[Case]:
    """The cases of a folder, by name; only those called `names`, if there are any. Raises LookupError for others."""
    found = [_read(path.parent) for path in sorted(folder.glob("*/case.json"))]
    unknown = set(names or ()) - {one.name for one in found}
    if unknown or not found:
        raise LookupError(f"{folder} has no case {', '.join(sorted(unknown)) or 'at all'}")
    return [one for one in found if not names or one.name in names]


def _read(folder: Path) -> Case:
    said = json.loads((folder / "case.json").read_text())
    expected = said["expected"]
    lines = tuple(expected.get("lines", ()))
    return Case(folder, said["kind"], said["run"], tuple(said["environments"]), tuple(expected["codes"]), lines)


def read_environments(folder: Path) -> dict[str, Json]:
    """environments.json: name -> {"python": "3.11", "requirements": [...]}."""
    read: dict[str, Json] = json.loads((folder / "environments.json").read_text())
    return read


def open_environment(said: Json) -> Environment | None:
    """Built if it is not there; None where this machine has no such Python. Raises EnvironmentFailedError.

    The requirement `gevent`, alone, is the one that the tests use with this Python.
    """
    interpreter = find_python(said["python"])
    if interpreter is None:
        return None
    if not said["requirements"]:
        return Environment(interpreter.path, interpreter.path.parent)
    if said["requirements"] == ["gevent"]:
        return environment_for(interpreter, *gevent_for(interpreter), *hunter_for(interpreter))
    return environment_for(interpreter, *said["requirements"])


def judge(report: Json, case: Case) -> tuple[Verdict, str]:
    """The verdict on a report, and what its first finding says: its code and certainty."""
    findings = report["findings"]
    first = findings[0] if findings else {}
    code = first.get("code", "")
    said = f"{code} ({first['certainty']})" if code else ""
    if case.is_healthy:
        if code and (code != "healthy" or len(findings) > 1):
            return "false alarm", said
        is_read = report["threads"] or report["mode"] == "run"
        return ("right" if is_read else "nothing"), said
    if code in ("", "healthy"):
        return "nothing", said
    if code not in case.codes:
        return "wrong code", said
    named = set(_lines([first["subjects"], first["evidence"][:EVIDENCE]]))
    return ("wrong place" if case.lines and not named & set(case.lines) else "right"), said


def _lines(value: object) -> Iterator[str]:
    """Every FILE:LINE of a finding's part, from its fields and from its texts."""
    if isinstance(value, Mapping):
        if value.get("file") and value.get("line"):
            yield f"{Path(str(value['file'])).name}:{value['line']}"
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _lines(one)
    elif isinstance(value, str):
        for file, line in re.findall(r"([\w.-]+\.(?:py|c)):(\d+)", value):
            yield f"{file}:{line}"
