"""Reports made one: parts into the whole; and one exception, told by the agent inside and by gdb outside."""

from __future__ import annotations

import msgspec

from lastwords.model import Caught, Report


def add_part(report: Report, part: Report) -> None:
    """All that `part` has, but the processes: these are known."""
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        if isinstance(value, list) and field.name != "processes":
            getattr(report, field.name).extend(value)


def drop_repeated(report: Report) -> None:
    """Leave out what the agent told of a thread's or greenlet's end where gdb saw the same, with its C stack."""
    from_gdb = {_key(caught) for caught in report.exceptions if caught.moment is not None}
    report.exceptions = [
        caught for caught in report.exceptions if caught.moment is not None or _key(caught) not in from_gdb
    ]


def _key(caught: Caught) -> tuple[object, ...]:
    """Process, type and the place where it was raised."""
    exception = caught.exception
    raised = exception.traceback[0] if exception and exception.traceback else None
    kind = exception.type.rpartition(".")[2] if exception and exception.type else None
    return caught.process, kind, raised and (raised.file, raised.line)
