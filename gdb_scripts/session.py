"""gdb's side of `lastwords run`: tell lastwords what stopped, do the few things that it asks for.

Sourced after unraisable.gdb, whose breakpoints it takes over. Every event and every answer is one line, a record
separator and a JSON object, written to gdb's terminal; lastwords' side is lastwords/capture/gdb.py. Orders come
as `lw {"do": ..., "id": ...}`. In non-stop mode only the thread that hit something stands still; it holds the GIL,
so what lastwords reads of the interpreter meanwhile holds still too. Python 3.6 and newer (gdb's own).
"""

import json
import os
import pathlib
import sys
import threading
import time
from typing import Any, Callable, Dict, Optional

import gdb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))  # gdb sources this file: it is no package's
import departure
import entry
import group_stops
import stack

Handler = Callable[["gdb.InferiorThread"], None]
SEPARATOR = "\x1e"
WATCH_CHILDREN = os.environ.get("LASTWORDS_SESSION") != "no-children"
LIBPYTHON = "libpython"
# If a thread stands still for that long and lastwords gives no order (because it is frozen, say), gdb lets all go.
PATIENCE_SECONDS = float(os.environ.get("LASTWORDS_PATIENCE", "20"))


def emit(**fields: object) -> None:
    """Write one event or answer."""
    gdb.write("\n" + SEPARATOR + json.dumps(fields) + "\n")
    gdb.flush()


def run(command: str) -> str:
    """Run a gdb command, its output returned."""
    return gdb.execute(command, to_string=True)


def find_thread(tid: int) -> "gdb.InferiorThread | None":
    """The thread with kernel id `tid`, or None."""
    for inferior in gdb.inferiors():
        for thread in inferior.threads():
            if thread.ptid[1] == tid:
                return thread
    return None


def inferior_threads(number: int) -> "list[gdb.InferiorThread]":
    """The threads of inferior `number`."""
    return [thread for inferior in gdb.inferiors() if inferior.num == number for thread in inferior.threads()]


class Stopped:
    """The threads that stand still for lastwords, by tid, and since when."""

    def __init__(self) -> None:
        self.since: "dict[int, float]" = {}
        self.counts: "dict[int, int]" = {}
        self.traps: "set[int]" = set()  # stopped by a SIGTRAP that is the program's own
        self.heard = 0.0  # when lastwords gave its last order
        threading.Thread(target=self._watch, daemon=True).start()

    def count(self, tid: int) -> int:
        """How often the thread has stopped, this time included."""
        self.counts[tid] = self.counts.get(tid, 0) + 1
        return self.counts[tid]

    def is_last(self, thread: "gdb.InferiorThread", number: int) -> bool:
        """Whether the thread has not stopped again since: then nothing stands still for that stop any more.

        So it is with the stop of an attach, where the program has been executed before we come to it.
        """
        return thread.is_valid() and self.counts[thread.ptid[1]] == number

    def add(self, tid: int, signal: "str | None" = None) -> None:
        """From now on."""
        self.since[tid] = time.monotonic()
        if signal == "SIGTRAP":
            self.traps.add(tid)

    def resume(self, tid: int) -> None:
        """Let it go on; a thread that is gone or runs needs nothing."""
        self.since.pop(tid, None)
        thread = find_thread(tid)
        if thread is not None and thread.is_valid() and not thread.is_running():
            thread.switch()
            run("signal SIGTRAP &" if tid in self.traps else "continue &")
        self.traps.discard(tid)

    def _watch(self) -> None:
        while True:
            time.sleep(1)
            late = time.monotonic() - PATIENCE_SECONDS
            if self.heard < late and any(since < late for since in list(self.since.values())):
                leaving.begin("lastwords gave no order for {:.0f} s".format(PATIENCE_SECONDS))


leaving = departure.Departure(emit)
stopped = Stopped()
halted = group_stops.GroupStops(lambda function: gdb.post_event(lambda: guarded(function)))
catching: "dict[int, int]" = {}  # inferior number -> catchpoint that waits for its libpython
processes: "dict[int, int]" = {}  # pid -> inferior number, while it is watched


def on_stop(event: "gdb.StopEvent") -> None:
    """A thread stopped: at a catchpoint (handled here), a breakpoint or a signal (lastwords handles it)."""
    thread = getattr(event, "inferior_thread", None) or gdb.selected_thread()
    if thread is None or not thread.is_valid():
        return
    caught = next(iter(getattr(event, "breakpoints", ())), None)
    # Asked now: a temporary breakpoint is gone by the time that the posted function runs.
    handler = find_handler(caught) if caught is not None else None
    location = caught.location if caught is not None else None
    signal = getattr(event, "stop_signal", None)
    if handler is on_fork:
        leaving.forking.add(thread.ptid[1])
    number = stopped.count(thread.ptid[1])
    gdb.post_event(lambda: attend(thread, handler, location, signal) if stopped.is_last(thread, number) else None)


def attend(
    thread: "gdb.InferiorThread", handler: Optional[Handler], location: "str | None", signal: "str | None"
) -> None:
    """Handle a stop; where that fails, the thread goes on all the same."""
    try:
        handle_stop(thread, handler, location, signal)
    except (gdb.error, OSError, RuntimeError, AttributeError, LookupError) as error:
        emit(event="error", text="a stop could not be handled: {}".format(error))
        guarded(resume, thread)


def resume(thread: "gdb.InferiorThread") -> None:
    """Let a thread go on; one that is gone or runs needs nothing."""
    if thread.is_valid() and not thread.is_running():
        thread.switch()
        run("continue &")


def guarded(function: Callable[..., None], *arguments: object) -> None:
    """A process may vanish at any moment: an error of gdb is an event, not an end."""
    try:
        function(*arguments)
    except (gdb.error, OSError, RuntimeError) as error:
        emit(event="error", text="{}: {}".format(function.__name__, error))


def handle_stop(
    thread: "gdb.InferiorThread", handler: Optional[Handler], location: "str | None", signal: "str | None"
) -> None:
    """Do what session.py does itself at a stop, or tell lastwords."""
    if not thread.is_valid() or thread.is_running():
        return  # it is gone, or has been resumed: nothing stands still for it
    thread.switch()
    if leaving.begun and handler is not on_fork:
        return  # it stands still until it is detached
    if handler is not None:
        handler(thread)
        return
    if signal in group_stops.STOPS:
        halted.handle(thread)
        return
    if signal == "0" or not signal:
        signal = "SIGTRAP" if location is None and entry.is_own_trap() else None
    if location is not None and not entry.is_event(location):
        resume(thread)
        return
    registers = entry.read_registers()
    if entry.is_jump(thread.ptid[1], location, registers):
        resume(thread)
        return
    stopped.add(thread.ptid[1], signal)
    emit(
        event="stop",
        pid=thread.ptid[0],
        tid=thread.ptid[1],
        location=location,
        signal=signal,
        registers=registers,
    )


def find_handler(caught: "gdb.Breakpoint") -> Optional[Handler]:
    """What session.py itself does at a catchpoint; None for lastwords' breakpoints."""
    return CATCHPOINTS.get(caught.number)


def on_fork(thread: "gdb.InferiorThread") -> None:
    """The parent goes on; the child stands at its first instruction until its breakpoints are in."""
    parent = thread.inferior
    leaving.forking.discard(thread.ptid[1])
    run("continue &")
    for inferior in gdb.inferiors():
        if inferior.pid and inferior.pid not in processes:
            for child in inferior.threads():
                adopt(child, parent.pid)


def adopt(child: "gdb.InferiorThread", parent: int) -> None:
    """Watch a forked child: the symbols of libpython in its program space, then let it go on."""
    inferior = child.inferior
    processes[inferior.pid] = inferior.num
    if child.is_running():
        emit(event="error", text="process {} ran before its breakpoints were in".format(inferior.pid))
        return
    if leaving.begun:
        return
    child.switch()
    run("sharedlibrary " + LIBPYTHON)
    emit(event="fork", pid=inferior.pid, parent=parent)
    run("continue &")


def on_exec(thread: "gdb.InferiorThread") -> None:
    """Another program: lastwords decides whether it is worth watching."""
    if thread.ptid[0] not in processes:  # a vforked child
        emit(event="fork", pid=thread.ptid[0], parent=read_parent(thread.ptid[0]))
    processes[thread.ptid[0]] = thread.inferior.num
    stack.forget_loaded(thread.inferior.num)
    stopped.add(thread.ptid[1])
    emit(event="exec", pid=thread.ptid[0], tid=thread.ptid[1])


def read_parent(pid: int) -> int:
    """The parent of a process, as the kernel has it."""
    return int(pathlib.Path("/proc/{}/stat".format(pid)).read_text().rpartition(")")[2].split()[1])


def do_watch(order: Dict[str, int]) -> Dict[str, Any]:
    """After an exec: stop once more when the loader has mapped libpython, and go on.

    A catchpoint is for the program space that it is made in. (A breakpoint on the program's entry is not: gdb looks
    for its address again in whichever process loads a library.)
    """
    thread = find_thread(order["tid"])
    if thread is not None and thread.inferior.num != 1 and thread.inferior.num not in catching:
        thread.switch()
        catching[thread.inferior.num] = catch("load " + LIBPYTHON)
        CATCHPOINTS[catching[thread.inferior.num]] = on_load
    stopped.resume(order["tid"])
    return {}


def on_load(thread: "gdb.InferiorThread") -> None:
    """libpython is mapped: read its symbols, which puts the breakpoints in."""
    run("sharedlibrary " + LIBPYTHON)
    emit(event="loaded", pid=thread.ptid[0])
    run("continue &")


def on_exited(event: "gdb.ExitedEvent") -> None:
    """A process ended: lastwords' own waitpid or /proc says how; here only that it is gone."""
    inferior = event.inferior
    gone = [pid for pid, number in processes.items() if number == inferior.num]
    for pid in gone:
        del processes[pid]
        emit(event="exited", pid=pid, code=getattr(event, "exit_code", None), signal=exit_signal())
    if inferior.num != 1:
        gdb.post_event(lambda: guarded(remove, inferior.num))


def exit_signal() -> "int | None":
    """The signal that ended the last process, or None: gdb's `$_exitsignal` is void then."""
    value = gdb.parse_and_eval("$_exitsignal")
    return None if value.type.code == gdb.TYPE_CODE_VOID else int(value)


def remove(number: int) -> None:
    """Forget an inferior that has ended or was let go; its catchpoint goes with its program space."""
    CATCHPOINTS.pop(catching.pop(number, 0), None)
    run("inferior 1")
    run("remove-inferiors {}".format(number))


def do_attach(order: Dict[str, int]) -> Dict[str, Any]:
    """Attach to the process that waits before its exec; it goes on waiting."""
    said = run("attach {}".format(order["pid"]))
    if WATCH_CHILDREN:
        run("set detach-on-fork off")
    processes[order["pid"]] = gdb.selected_inferior().num
    run("continue -a &")
    return {"said": said}


def do_join(order: Dict[str, int]) -> Dict[str, Any]:
    """Attach to a process that runs already, the first or one more; with its breakpoints in, it goes on."""
    if processes:
        added = run("add-inferior -no-connection").split()
        number = int(next(word for word in added if word.isdigit()))
        run("inferior {}".format(number))
    said = run("attach {}".format(order["pid"]))
    if WATCH_CHILDREN:
        run("set detach-on-fork off")
    number = gdb.selected_inferior().num
    processes[order["pid"]] = number
    if number != 1:
        catching[number] = catch("load " + LIBPYTHON)
        CATCHPOINTS[catching[number]] = on_load
    run("sharedlibrary " + LIBPYTHON)
    for thread in inferior_threads(number):  # those that stop later are told of, and resumed as any other
        resume(thread)
    return {"said": said}


def do_resume(order: Dict[str, int]) -> Dict[str, Any]:
    """Let a stopped thread go on."""
    stopped.resume(order["tid"])
    return {}


def do_let_go(order: Dict[str, int]) -> Dict[str, Any]:
    """Detach from a process, breakpoints out; it runs on by itself."""
    number = processes.pop(order["pid"])
    for thread in inferior_threads(number):
        stopped.since.pop(thread.ptid[1], None)
    run("inferior 1")
    run("detach inferiors {}".format(number))
    if number != 1:
        remove(number)
    return {}


def do_stack(order: Dict[str, int]) -> Dict[str, Any]:
    """The C stack of a stopped thread, innermost first."""
    thread = find_thread(order["tid"])
    if thread is None:
        return {"frames": [], "problem": "the thread is gone"}
    thread.switch()
    return stack.read_stack(thread.inferior.num)


def do_interrupt(order: Dict[str, int]) -> Dict[str, Any]:
    """Ask every other running thread of a process to stop; each that does is an event of its own."""
    asked = []
    for thread in inferior_threads(processes[order["pid"]]):
        if thread.is_running():
            thread.switch()
            run("interrupt")
            asked.append(thread.ptid[1])
    return {"tids": asked}


def do_read(order: Dict[str, int]) -> Dict[str, Any]:
    """Memory of a process, as hexadecimal digits: for lastwords, where the kernel refuses it but not gdb."""
    number = processes[order["pid"]]
    for inferior in gdb.inferiors():
        if inferior.num == number:
            return {"data": bytes(inferior.read_memory(order["address"], order["size"])).hex()}
    raise gdb.error("the process is gone")


def do_evaluate(order: Dict[str, Any]) -> Dict[str, Any]:
    """A variable of one of the functions on the stack of a stopped thread, as a number."""
    thread = find_thread(order["tid"])
    if thread is None:
        return {}
    thread.switch()
    frame: "gdb.Frame | None" = gdb.newest_frame()
    while frame is not None and frame.name() != order["function"]:
        frame = stack.older(frame)
    if frame is None:
        return {}
    frame.select()
    return {"value": int(gdb.parse_and_eval(order["expression"]))}


def do_watch_hook(order: Dict[str, Any]) -> Dict[str, Any]:
    """Stop also where the interpreter prints the exception of a sys.unraisablehook that failed (from 3.8)."""
    name = "write_unraisable_exc_file"
    if gdb.lookup_static_symbol(name) is None:  # there is none, or only copies of it in its callers
        return {"found": False}
    gdb.Breakpoint(name).silent = True
    return {"found": True}


def do_leave(order: Dict[str, int]) -> Dict[str, Any]:
    """Let every process go, and end."""
    leaving.begin("lastwords is done")
    return {}


ORDERS = {
    "attach": do_attach,
    "join": do_join,
    "watch": do_watch,
    "resume": do_resume,
    "let_go": do_let_go,
    "leave": do_leave,
    "ping": lambda order: {},
    "evaluate": do_evaluate,
    "watch_hook": do_watch_hook,
    "stack": do_stack,
    "interrupt": do_interrupt,
    "read": do_read,
}


class Order(gdb.Command):
    """Do what lastwords asks for: one JSON object, answered by one."""

    def __init__(self) -> None:
        super().__init__("lw", gdb.COMMAND_RUNNING)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """gdb calls this."""
        self.dont_repeat()
        order = json.loads(argument)
        stopped.heard = time.monotonic()
        try:
            answer = ORDERS[order["do"]](order)
        except (gdb.error, gdb.MemoryError, OSError, RuntimeError, KeyError, AttributeError) as error:
            answer = {"error": "{}: {}".format(type(error).__name__, error)}
        emit(answer=order["id"], **answer)


def catch(what: str) -> int:
    """Set a catchpoint; its number."""
    return int(run("catch " + what).split()[1])


def take_over() -> None:
    """unraisable.gdb's breakpoints stop without printing, and what they stop is told to lastwords."""
    for name in ("Py_Finalize", "Py_FinalizeEx"):
        gdb.Breakpoint(name)
    for breakpoint in gdb.breakpoints():
        breakpoint.commands = ""
        breakpoint.silent = True


take_over()
CATCHPOINTS = {catch("exec"): on_exec, catch("load " + LIBPYTHON): on_load}
if WATCH_CHILDREN:
    # Not vfork: gdb 13 crashes when it is told to go on from there in a process with threads, and there is no need.
    # The child shares its parent's memory, breakpoints and all, until its exec, where it is met.
    CATCHPOINTS.update({catch("fork"): on_fork})
Order()
gdb.events.stop.connect(on_stop)
gdb.events.exited.connect(on_exited)
emit(event="ready", gdb=gdb.VERSION)
