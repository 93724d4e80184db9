"""gdb: `lw-report`, `lw-stacks`, `lw-greenlets`, `lw-locks`, `lw-exception`: what lastwords reads of a process or core.

    lastwords gdb PID                                   has them
    gdb -x "$(lastwords gdb --commands)" -p PID         so has a gdb of your own

A lastwords process of its own does the reading: from outside, as always, while gdb holds the process still. gdb gives
it the registers, and memory where the kernel lets only gdb read. Needs gdb 9 and any Python 3 in it, and outside
it lastwords: LASTWORDS_PYTHON, else `lastwords` on PATH.
"""

import json
import os
import re
import shutil
import subprocess

import gdb

WORD = 0xFFFFFFFFFFFFFFFF
# include/asm/user_64.h; what another architecture lacks is left out
REGISTERS = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip
# Each has its text in lastwords/report/parts.py.
COMMANDS = {
    "report": "The whole report: findings, threads, what they wait for. Options: -v, --locals, --native=all|none",
    "stacks": "Each thread's stack, Python and C as one, with what it waits for and holds. Options as of lw-report",
    "greenlets": "Every greenlet, what it waits for and holds, and the hubs. Options as of lw-report, and --all",
    "locks": "Each lock that a thread waits for or holds: who holds it, who waits. The GIL too.",
    "exception": "The exceptions that threads handle or are about to raise, the selected thread's first.",
}


class FailedError(Exception):
    """What the user is told."""


def find_lastwords() -> "list[str]":
    """The command that starts lastwords. Raises FailedError."""
    python = os.environ.get("LASTWORDS_PYTHON")
    if python:
        return [python, "-m", "lastwords"]
    found = shutil.which("lastwords")
    if found is None:
        raise FailedError("lastwords is not on PATH; set environment variable LASTWORDS_PYTHON to a Python that has it")
    return [found]


def find_core() -> "str | None":
    """The core file that this gdb has open, None where it holds a process."""
    found = re.search(r"[Cc]ore dump file:\s*[`'](.*)', file type", gdb.execute("info files", to_string=True))
    opened = found.group(1) if found else None
    # `lastwords gdb` unpacks one before gdb opens it
    return os.environ.get("LASTWORDS_CORE") if opened == os.environ.get("LASTWORDS_OPENED", "") else opened


def read_registers() -> "dict[str, int]":
    """Those of the selected thread, where its innermost frame stands."""
    frame = gdb.newest_frame()
    values = {}
    for name in REGISTERS:
        try:
            values[name] = int(frame.read_register(name)) & WORD
        except (gdb.error, ValueError):  # not of this architecture, or not to be had
            continue
    return values


def read_threads() -> "list[list[object]]":
    """[tid, registers] of each thread; the one that was selected is selected again. Raises FailedError, gdb.error."""
    selected, frame = gdb.selected_thread(), None
    if selected is None:
        raise FailedError("there is no process in this gdb: attach PID, or core-file FILE")
    threads = []
    try:
        if not selected.is_running():
            frame = gdb.selected_frame()
        for thread in gdb.selected_inferior().threads():
            if thread.is_running():
                raise FailedError("thread {} runs: interrupt it first".format(thread.ptid[1]))
            thread.switch()
            threads.append([thread.ptid[1], read_registers()])
    finally:
        selected.switch()
        if frame is not None and frame.is_valid():
            frame.select()
    return threads


def make_order(what: str, argument: str) -> "dict[str, object]":
    """What lastwords is asked for. Raises FailedError, gdb.error."""
    core = find_core()
    selected = gdb.selected_thread()
    return {
        "what": what,
        "words": gdb.string_to_argv(argument),
        "pid": gdb.selected_inferior().pid,
        "selected": selected.ptid[1] if selected is not None else None,
        "threads": [] if core else read_threads(),
        "core": core,
        "executable": os.environ.get("LASTWORDS_EXECUTABLE") if core else None,
        "width": gdb.parameter("width") or 0,
    }


def read_memory(ranges: "list[list[int]]") -> "list[str | None]":
    """Hexadecimal digits for each (address, size); None where gdb cannot read it either."""
    inferior = gdb.selected_inferior()
    found: "list[str | None]" = []
    for address, size in ranges:
        try:
            found.append(bytes(inferior.read_memory(address, size)).hex())
        except (gdb.error, gdb.MemoryError, OverflowError, ValueError):
            found.append(None)
    return found


def ask_lastwords(order: "dict[str, object]") -> str:
    """Its answer, as text. It may ask for memory meanwhile. Raises FailedError."""
    command = [*find_lastwords(), "gdb", "--serve"]
    try:
        helper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
            start_new_session=True,  # Ctrl-C is gdb's, which ends it
        )  # fmt: skip
    except OSError as error:
        raise FailedError("{} cannot be started: {}".format(command[0], error.strerror)) from error
    try:
        return talk(helper, order)
    except OSError as error:  # it has ended
        raise FailedError(last_words(helper)) from error
    finally:
        helper.kill()
        helper.communicate()


def talk(helper: "subprocess.Popen[str]", order: "dict[str, object]") -> str:
    """One JSON object a line, in both directions."""
    send(helper, order)
    for line in helper.stdout or ():
        answer = json.loads(line)
        if "read" in answer:
            send(helper, read_memory(answer["read"]))
        elif "error" in answer:
            raise FailedError(answer["error"])
        else:
            return str(answer["text"])
    raise FailedError(last_words(helper))


def send(helper: "subprocess.Popen[str]", message: object) -> None:
    """Raises OSError where it has ended."""
    assert helper.stdin is not None
    helper.stdin.write(json.dumps(message) + "\n")
    helper.stdin.flush()


def last_words(helper: "subprocess.Popen[str]") -> str:
    """What it said before it ended without an answer."""
    said = helper.stderr.read().strip() if helper.stderr else ""
    return "lastwords ended without an answer; it said: {}".format(said or "nothing")


class Command(gdb.Command):
    """One of COMMANDS."""

    def __init__(self, what: str) -> None:
        self.__doc__ = COMMANDS[what]
        self.what = what
        super().__init__("lw-" + what, gdb.COMMAND_STATUS)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """gdb calls this; it pages what is written, and `pipe` takes it."""
        try:
            gdb.write(ask_lastwords(make_order(self.what, argument)))
        except FailedError as error:
            raise gdb.GdbError("lastwords: {}".format(error)) from None


for what in COMMANDS:
    Command(what)
