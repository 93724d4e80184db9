"""The agent's records, one JSON object a line, as the report's structs. A damaged line is counted, not fatal.

The records are written by `lastwords/agent/`; each has `kind`, `pid`, `n` (counted up in each process), `tid` (the
thread's native ident). Records of one process are in order; a forked child goes on with its own pid.
"""

from __future__ import annotations

import json
import linecache
import shlex
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lastwords.capture.agent_trace import build_trace
from lastwords.model import Caught, ExceptionValue, Frame, How, Imports, Patch, TraceCall, Value, WatchedImport

MAX_SOURCE_FILE = 8 << 20
Record = dict[str, Any]
ProcessId = Callable[[int], str]


def default_process_id(pid: int) -> str:
    """The id of a process in the report, where nobody gave it another."""
    return f"process-{pid}"


class Hello(msgspec.Struct):
    """What the agent said of a process when it started: `version` is `sys.version`."""

    pid: int
    ppid: int
    version: str
    executable: str
    cwd: str
    implementation: str


class Said(msgspec.Struct):
    """All that agents said. `spoke` are the pids of which there is any record, `traced` those with a trace.

    `ended` are those that were seen to reach `threading._shutdown`; `reasons` says why they were not traced there: a
    sentence, and the pids.
    """

    hellos: dict[int, Hello] = {}
    spoke: set[int] = msgspec.field(default_factory=set)
    libraries: dict[int, dict[str, str]] = {}
    imports: Imports = msgspec.field(default_factory=Imports)
    exceptions: list[Caught] = []
    trace: list[TraceCall] = []
    traced: set[int] = msgspec.field(default_factory=set)
    ended: set[int] = msgspec.field(default_factory=set)
    problems: list[str] = []
    reasons: dict[str, list[int]] = {}
    process_id: ProcessId = default_process_id
    hunter: Path = Path("hunter")

    @property
    def untraced(self) -> list[str]:
        """A line for each reason why a shutdown was not traced, with the processes."""
        return [f"{_name_processes(pids)}: {reason}" for reason, pids in self.reasons.items()]


def _name_processes(pids: list[int]) -> str:
    return f"process{'es' if len(pids) > 1 else ''} {', '.join(map(str, pids))}"


def read_records(data: bytes, process_id: ProcessId = default_process_id, hunter: Path = Path("hunter")) -> Said:
    """What the records in `data` say. Never raises: what cannot be read is a problem.

    `hunter` is the directory that the advice to install it names.
    """
    said = Said(process_id=process_id, hunter=hunter)
    records, damaged = _parse(data)
    if damaged:
        said.problems.append(f"{damaged} of the agent's records could not be read; what they told is missing")
    by_pid: dict[int, list[Record]] = {}
    for record in records:
        by_pid.setdefault(record["pid"], []).append(record)
    said.spoke.update(by_pid)
    for pid, own in by_pid.items():
        _Reading(said, process_id(pid), pid).read(sorted(own, key=lambda record: record["n"]))
    return said


def _parse(data: bytes) -> tuple[list[Record], int]:
    """The records, and how many lines were none."""
    records, damaged = [], 0
    for line in data.split(b"\n"):
        if not line:
            continue
        try:
            record = json.loads(line)
            kind, pid, number = record["kind"], record["pid"], record["n"]
        except (ValueError, KeyError, TypeError, RecursionError):
            damaged += 1
            continue
        if isinstance(kind, str) and isinstance(pid, int) and isinstance(number, int):
            records.append(_clean(record, "bytes" in record))
        else:
            damaged += 1
    return records, damaged


def _clean(value: Any, is_bytes: bool) -> Any:  # noqa: ANN401 (any JSON value)
    """Texts without lone surrogates; those of 2.7 are bytes, one to a character."""
    if isinstance(value, str):
        raw = value.encode("latin-1", "replace") if is_bytes else value.encode("utf-8", "surrogatepass")
        return raw.decode("utf-8", "backslashreplace")
    if isinstance(value, list):
        return [_clean(item, is_bytes) for item in value]
    if isinstance(value, dict):
        return {_clean(key, is_bytes): _clean(item, is_bytes) for key, item in value.items()}
    return value


class _Reading:
    """The records of one process on their way into `said`."""

    def __init__(self, said: Said, process: str, pid: int) -> None:
        self.said = said
        self.process = process
        self.pid = pid
        self.cwd = ""
        self.imports: dict[str, WatchedImport] = {}
        self.patches: dict[tuple[str, int], Patch] = {}
        self.at: dict[str, list[Frame]] = {}
        self.exceptions: dict[str, Caught] = {}
        self.at_exit = False

    def read(self, records: Iterable[Record]) -> None:
        events = []
        damaged = 0
        for record in records:
            handler = getattr(self, f"_read_{record['kind']}", None)
            try:
                if handler is None:
                    events.append(record)
                else:
                    handler(record)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError):
                damaged += 1
        calls, unread = build_trace(events, self.process, self._source)
        self.said.trace += calls
        self.said.imports.watched += self.imports.values()
        self.said.imports.patches += self.patches.values()
        self.said.exceptions += self.exceptions.values()
        if damaged + unread:
            self.said.problems.append(
                f"{damaged + unread} records of the agent in process {self.pid} were not what is expected"
            )

    def _read_hello(self, record: Record) -> None:
        names = ("pid", "ppid", "version", "executable", "cwd", "implementation")
        self.said.hellos[self.pid] = Hello(**{name: record[name] for name in names})
        self.cwd = record["cwd"]
        if record["hunter_at_start"]:
            self.said.problems.append(
                f"process {self.pid}: hunter.pth of {record['executable']} imported hunter, and so threading, before "
                "the program: who else imports threading first cannot be told. Remove it; hunter is found without:  "
                f"{self._pip()}"
            )

    def _read_libraries(self, record: Record) -> None:
        self.said.libraries.setdefault(self.pid, {}).update(record["versions"])

    def _read_import(self, record: Record) -> None:
        name = record["module"]
        chain = self._frames(record["chain"])
        self.imports[name] = WatchedImport(
            process=self.process, module=name, first_importer=chain, order=record["order"]
        )

    def _read_import_failed(self, record: Record) -> None:
        self.imports.pop(record["module"], None)

    def _read_patch(self, record: Record) -> None:
        """The stack comes with the first attribute of a module; attributes patched by the same call share it."""
        name = record["module"]
        if record["at"] is not None:
            self.at[name] = self._frames(record["at"])
        key = name, id(self.at[name])
        if key not in self.patches:
            self.patches[key] = Patch(
                process=self.process, module=name, at=self.at[name], order=record["loaded"], thread=record["tid"]
            )
        self.patches[key].attributes.append(record["attribute"])

    def _read_thread_error(self, record: Record) -> None:
        name, ident = record["thread"], record["ident"]
        thread = Value(type="threading.Thread", repr=f"<Thread {name!r} {ident}>")
        message = f"Exception in thread {name}:" if name else None
        caught = self._catch(record, "thread", thread, message)
        caught.thread = caught.thread or name

    def _read_greenlet_error(self, record: Record) -> None:
        self._catch(record, "greenlet", self._hub_subject(record))

    def _read_hub_error(self, record: Record) -> None:
        self._catch(record, "hub", self._hub_subject(record), python_stack=self._frames(record["at"]))

    def _hub_subject(self, record: Record) -> Value | None:
        """What the hub was told that failed: a greenlet, or what it has called."""
        kind, address = record["subject"], record["address"]
        return Value(type=kind, repr=f"<{kind} at {address:#x}>", address=address) if kind else None

    def _catch(
        self,
        record: Record,
        how: How,
        subject: Value | None,
        message: str | None = None,
        python_stack: Sequence[Frame] = (),
    ) -> Caught:
        key = json.dumps([how, record["exception"]], sort_keys=True)
        if key in self.exceptions:
            self.exceptions[key].count += 1
            return self.exceptions[key]
        self.exceptions[key] = Caught(
            id=f"{self.process}-{how}-exception-{len(self.exceptions) + 1}",
            process=self.process,
            how=how,
            message=message,
            exception=self._exception(record["exception"]),
            object=subject,
            python_stack=list(python_stack),
            phase="shutdown" if self.at_exit else "running",
        )
        return self.exceptions[key]

    def _exception(self, told: Record) -> ExceptionValue:
        return ExceptionValue(
            type=told["type"],
            value=told["value"],
            args=[Value(type=kind, repr=text) for kind, text in told.get("args", ())],
            traceback=self._frames(told["tb"]),
            cause=self._exception(told["cause"]) if "cause" in told else None,
            context=self._exception(told["context"]) if "context" in told else None,
        )

    def _read_traced(self, record: Record) -> None:
        self.at_exit = True
        self.said.ended.add(self.pid)
        self.said.traced.add(self.pid)
        if record["hunter"]:
            self.said.libraries.setdefault(self.pid, {})["hunter"] = record["hunter"]

    def _read_untraced(self, record: Record) -> None:
        self.at_exit = True
        self.said.ended.add(self.pid)
        self.said.reasons.setdefault(self._why_untraced(record), []).append(self.pid)

    def _why_untraced(self, record: Record) -> str:
        why = record["why"]
        if why == "busy":
            return "the shutdown was not traced, for the program has a trace or profile function of its own"
        if why == "full":
            return "the trace of the shutdown ends after its first 20,000 events"
        if why == "no hunter":
            return (
                f"the shutdown was not traced, because hunter cannot be imported there ({record['error']}); "
                f"install it:  {self._pip()}"
            )
        if why == "old hunter":
            return (
                f"the shutdown was not traced, because the hunter there is too old ({record['error']}); "
                f"install a newer one:  {self._pip()}"
            )
        return f"the trace of the shutdown broke off ({record.get('error')})"

    def _pip(self) -> str:
        """The command that installs hunter for this very interpreter, where no `site` looks."""
        # A forked child says no hello: it runs what the process runs that it was forked from.
        hello = self.said.hellos.get(self.pid) or next(iter(self.said.hellos.values()), None)
        if hello is None:
            return f"python -m pip install --target {shlex.quote(str(self.said.hunter / 'X.Y'))} 'hunter>=3.4'"
        version = ".".join(hello.version.split()[0].split(".")[:2])
        wanted = "hunter==3.3.8" if version.startswith("2.") else "'hunter>=3.4'"
        target = shlex.quote(str(self.said.hunter / version))
        return f"{shlex.quote(hello.executable)} -m pip install --target {target} {wanted}"

    def _read_unwatched(self, record: Record) -> None:
        self.said.problems.append(
            f"process {self.pid}: {record['module']} could not be watched ({record['why']}); "
            "what the agent would have seen there is missing"
        )

    def _frames(self, places: list[list[Any]]) -> list[Frame]:
        return [
            Frame(
                kind="python",
                function=function,
                qualname=qualname,
                module=module,
                file=file,
                line=line,
                source=self._source(file, line),
            )
            for file, line, function, qualname, module in places
        ]

    def _source(self, file: str | None, line: int | None) -> str | None:
        """The line's text, without its indentation; None where there is no such file, or no ordinary one."""
        if not file or not line:
            return None
        path = Path(self.cwd, file)
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SOURCE_FILE:
            return None
        return linecache.getline(str(path), line).strip() or None
