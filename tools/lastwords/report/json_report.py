"""The report as a JSON file: written whole or not at all, readable by its owner alone."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

import msgspec

from lastwords import model
from lastwords.errors import SetupError, TargetError
from lastwords.model import Report


def write_json(report: Report, path: str) -> None:
    """Writes the report to the file `path`. Raises SetupError."""
    write_file(path, encode(report))


def encode(report: Report) -> bytes:
    """The report as JSON. Text that UTF-8 cannot hold (a file name's stray bytes) is escaped as in Python's repr."""
    return encode_plain(report)


def encode_plain(value: object) -> bytes:
    """The same for any structs, and lists of them."""
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
    except UnicodeEncodeError:
        return msgspec.json.format(msgspec.json.encode(_escape(msgspec.to_builtins(value))), indent=1) + b"\n"


class _Header(msgspec.Struct):
    schema: int


def decode(document: bytes, name: str) -> Report:
    """The report that `document` holds; `name` is the file's, for messages. Raises TargetError for any other text."""
    try:
        schema = msgspec.json.decode(document, type=_Header).schema
        if schema == model.SCHEMA:
            return model.from_json(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"{name} is not a report of lastwords: {error}", "lastwords run -h") from error
    raise TargetError(
        f"{name} has schema {schema}, this lastwords reads schema {model.SCHEMA}; it needs the release that wrote it",
        "lastwords --version",
    )


def _escape(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        case list():
            return [_escape(item) for item in value]
        case dict():
            return {_escape(key): _escape(item) for key, item in value.items()}
    return value


def write_file(path: str, content: bytes) -> None:
    """Replaces the file at once, mode 0600; devices and pipes are written to as they are. Raises SetupError."""
    target = Path(path).resolve()
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            target.write_bytes(content)
        else:
            _replace(target, content)
    except OSError as error:
        fact = f"cannot write the report to {path}: {error.strerror}; it is not written"
        raise SetupError(fact, f"df -h {shlex.quote(str(Path(path).parent))}") from error


def _replace(target: Path, content: bytes) -> None:
    draft = target.with_name(f".{target.name}-{os.urandom(6).hex()}")  # tempfile takes 10 ms to import
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
