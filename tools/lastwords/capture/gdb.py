"""gdb, driven by pexpect: one session, one protocol.

gdb attaches to a process that waits before its exec (capture/launch.py), follows the exec and the children, and
tells by JSON lines what stopped (gdb_scripts/session.py). Nothing that gdb prints for people is read.

gdb lives in a session of its own on a pseudo-terminal of pexpect's. However it comes to its end, it lets the
programs go first (capture/keeper.py, gdb_scripts/departure.py): a SIGKILL would leave its breakpoints behind, and
a program that met one would die of SIGTRAP.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import IO, Any, Literal

import pexpect

from lastwords.capture import which_gdb
from lastwords.capture.keeper import Ended, Keeper, Terminal, end_gdb
from lastwords.capture.permission import explain_refusal
from lastwords.errors import SetupError

_EVENT = b"\x1e(\\{.*?\\})\r?\n"
# How long each side bears the other's silence: gdb lets all go then, lastwords ends gdb.
_PATIENCE_SECONDS = float(os.environ.get("LASTWORDS_PATIENCE", "20"))
_START_SECONDS = 1.5 * _PATIENCE_SECONDS

# As early as gdb takes them: before it reads a symbol, asks a question, or goes to the network.
_EARLY_SETTINGS = (
    "set pagination off",
    "set width 0",
    "set height 0",
    "set confirm off",
    "set style enabled off",
    "set editing off",
    "set auto-load off",
    "set debuginfod enabled off",
    "set breakpoint pending on",
    "set print thread-events off",
    "set print inferior-events off",
)
# Only the hit thread stops; children are watched; only libpython's symbols are read before they are needed.
_SESSION_SETTINGS = (
    "set non-stop on",
    "set mi-async on",
    "set schedule-multiple on",
    "set auto-solib-add off",
    # Not needed to see threads, and gdb 13 waits in it for ever for a process that shares a vforked one's program.
    "set libthread-db-search-path /nonexistent",
    "handle all nostop noprint pass",
)
_AFTER_SCRIPTS = (
    "handle SIGINT nostop noprint pass",
    "handle SIGTRAP stop print nopass",  # gdb's own; one of the program's is passed on by session.py
    *(f"handle {name} stop print pass" for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT")),
    # gdb would let a stopped process go on at once (gdb_scripts/group_stops.py).
    *(f"handle {name} stop print pass" for name in ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU")),
)

Event = dict[str, Any]


class GdbEnded(Exception):  # noqa: N818  # it says what happened, to us; users get a SetupError or a problem line
    """gdb is gone or does not answer; the programs it watched run on by themselves.

    `is_lost`: it went without letting them go, and has left its breakpoints in them.
    """

    def __init__(self, why: str, is_lost: bool = False) -> None:
        super().__init__(why)
        self.is_lost = is_lost


def scripts_directory() -> Path:
    """Where gdb's scripts are: inside the installed package, or beside it in a checkout."""
    packaged = Path(str(resources.files("lastwords"))) / "gdb_scripts"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "gdb_scripts"


def find_gdb() -> str:
    """The path of gdb. Raises SetupError."""
    given = os.environ.get("LASTWORDS_GDB")
    path = shutil.which(given or "gdb")
    if path is not None:
        return str(Path(path).absolute())
    where = f"LASTWORDS_GDB is {given}, which is no program" if given else "there is no gdb on PATH"
    mend = "unset LASTWORDS_GDB" if given else which_gdb.INSTALL_GDB
    raise SetupError(f"{where}; the program runs unwatched.", f"{mend}\nwithout gdb there is:  lastwords trace -- ...")


class GdbSession:
    """A running gdb, starting until `begin()`. A context manager: at its end gdb has let go and is reaped."""

    def __init__(self, path: str, watch_children: bool, cache: Path | None) -> None:
        self.version: str | None = None
        self._ended: Ended | None = None
        self.patience = _PATIENCE_SECONDS
        self._events: deque[Event] = deque()
        self._orders = 0
        self._heard = time.monotonic()
        self._gdb = pexpect.spawn(
            path,
            _arguments(cache, watch_children),
            env=_environment(os.environ, watch_children),
            echo=False,
            timeout=_START_SECONDS,
            cwd="/",  # gdb 13 crashes where its directory has been removed
            maxread=65536,
            preexec_fn=_set_signals,
        )
        self._gdb.delaybeforesend = None
        self._terminal: IO[bytes] = vars(self._gdb)["ptyproc"].fileobj
        self._transcript: list[bytes] = []
        self._path = path

    @property
    def pid(self) -> int:
        """gdb's process id."""
        assert isinstance(self._gdb.pid, int)
        return self._gdb.pid

    def begin(self) -> None:
        """Wait for session.py's first word. Raises SetupError with what gdb said instead."""
        try:
            ready = self._read(time.monotonic() + _START_SECONDS)
            is_stuck = ready is None
        except GdbEnded:
            ready, is_stuck = None, False
        if ready is None or ready.get("event") != "ready":
            self.close()
            raise _explain_start(self._path, _last_lines(b"".join(self._transcript)), is_stuck)
        self._keeper = Keeper(self.pid, self._gdb.child_fd)
        self.version = ready["gdb"]

    def attach(self, pid: int, how: Literal["attach", "join"] = "attach") -> None:
        """Attach to a process that waits before its exec, and let it wait on; or "join" one that runs already.

        Raises SetupError.
        """
        answer = self.order(how, pid=pid)
        if not _is_traced_by(pid, self.pid):
            said = answer.get("error") or _last_lines(str(answer.get("said")).encode())
            why = explain_refusal(pid, said)
            raise SetupError(f"gdb may not trace the program: {why.fact}; it runs unwatched.", why.mend)
        self._keeper.watch(pid)

    def order(self, do: str, **arguments: int | str) -> Event:
        """Ask session.py for something; its answer. Raises GdbEnded."""
        self._orders += 1
        identity = self._orders
        order = json.dumps({"do": do, "id": identity, **arguments})
        try:
            self._gdb.sendline(f"lw {order}".encode())
        except OSError as error:
            raise GdbEnded("gdb's terminal is closed", is_lost=True) from error
        deadline = time.monotonic() + self.patience
        while True:
            event = self._read(deadline)
            if event is None:
                raise GdbEnded(f"gdb did not answer within {self.patience:g} s")
            if event.get("answer") == identity:
                return event
            self._events.append(event)

    def next_event(self, timeout: float) -> Event | None:
        """The next thing that happened, or None after `timeout` seconds. Raises GdbEnded."""
        if self._events:
            return self._events.popleft()
        event = self._read(time.monotonic() + timeout)
        if event is None and time.monotonic() - self._heard > _PATIENCE_SECONDS:
            self.order("ping")  # something may have frozen it, and the program with it at its next exception
        return event

    def _read(self, deadline: float) -> Event | None:
        while True:
            try:
                found = self._gdb.expect([_EVENT, pexpect.TIMEOUT], timeout=max(0.0, deadline - time.monotonic()))
            except (pexpect.EOF, OSError) as error:
                self._keep_transcript()
                raise GdbEnded("gdb ended by itself", is_lost=True) from error
            if found == 1:
                self._keep_transcript()
                return None
            with contextlib.suppress(ValueError):
                match: Any = self._gdb.match
                event = json.loads(match.group(1))
                self._heard = time.monotonic()
                if event.get("event") == "leaving":
                    raise GdbEnded(f"gdb let the program go ({event['reason']})")
                return dict(event)

    def _keep_transcript(self) -> None:
        """What gdb said outside the protocol: for the message, should it turn out to be its last."""
        said: Any = self._gdb.before
        if isinstance(said, bytes):
            self._transcript.append(said[-4096:])

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return bool(self._gdb.isalive())

    def close(self) -> Ended:
        """Make gdb let go of everything and end; reap it. What it took, "killed" if it was stuck. Once is enough."""
        if self._ended is None:
            terminal = Terminal(self._gdb.child_fd)
            self._ended = end_gdb(
                self.pid, self._send, lambda: not self._gdb.isalive(), terminal, self.version is not None
            )
            if self._gdb.signalstatus or self._gdb.exitstatus:  # gdb 13 was seen to crash as it detached from a child
                self._ended = "killed"
            if self.version is not None:
                self._keeper.stop()
            with contextlib.suppress(pexpect.ExceptionPexpect, OSError):
                self._terminal.close()
        return self._ended

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def __enter__(self) -> GdbSession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _explain_start(path: str, said: str, is_stuck: bool) -> SetupError:
    """Why gdb did not come so far as to take orders: it is asked for its version, and what it cannot do."""
    mend = f"{path} -nx -batch -ex 'python print(1)'"
    if is_stuck:
        words = f"; it said: {said}" if said else ""
        return SetupError(f"{path} was not ready within {_START_SECONDS:g} s{words}; the program runs unwatched.", mend)
    gdb = which_gdb.find_gdb(path)
    fault = which_gdb.find_fault(gdb) if gdb else f"{path} is gone"
    if fault:
        return SetupError(f"gdb cannot be used ({fault}); the program runs unwatched.", which_gdb.INSTALL_GDB)
    return SetupError(f"{path} ended at its start; it said: {said}; the program runs unwatched.", mend)


def _arguments(cache: Path | None, watch_children: bool) -> list[str]:
    scripts = scripts_directory()
    early = [argument for setting in _EARLY_SETTINGS for argument in ("-iex", setting)]
    index = [f"set index-cache directory {cache}", "set index-cache enabled on"] if cache else []
    commands = [
        *index,
        *_SESSION_SETTINGS,
        f"source {scripts / 'unraisable.gdb'}",
        f"source {scripts / 'session.py'}",
        *_AFTER_SCRIPTS,
    ]
    return [
        "-nx",
        "-q",
        *early,
        *(argument for command in commands for argument in ("-ex", command)),
    ]


def _environment(environ: Mapping[str, str], watch_children: bool) -> dict[str, str]:
    """What gdb gets: nothing of the program's that its own Python, readline or terminal would act on."""
    kept = {
        name: value for name, value in environ.items() if not name.startswith(("PYTHON", "LASTWORDS", "LC_", "LD_"))
    }
    session = "children" if watch_children else "no-children"
    ours = {"LASTWORDS_SESSION": session, "LASTWORDS_PATIENCE": str(_PATIENCE_SECONDS)}
    return {**kept, "TERM": "dumb", "LC_ALL": "C.UTF-8", **ours}


def _set_signals() -> None:
    """gdb takes HUP and TERM by a thread of its own (departure.py): nowhere may they end it in mid-step."""
    signal.pthread_sigmask(signal.SIG_SETMASK, (signal.SIGHUP, signal.SIGTERM))


def _is_traced_by(pid: int, tracer: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return f"TracerPid:\t{tracer}\n" in status


def _last_lines(output: bytes, count: int = 2) -> str:
    lines = [line.strip() for line in output.decode(errors="backslashreplace").splitlines()]
    return " / ".join([line for line in lines if line and line != "(gdb)"][-count:])
