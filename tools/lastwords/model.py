"""The report: everything that crosses a wall between the parts of lastwords is one of these.

Plain data, strings and numbers: a report is exactly its JSON. Fields keep their names and meaning within a
major version of `SCHEMA`. Every entity has an `id` that is unique in the document; `make_id` makes them.

A value that could not be read says why: see `Missing`. Nothing is dropped in silence.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA = 1

Missing = Literal["unreadable", "unparsable", "not applicable", "not available"]
Certainty = Literal["certain", "likely", "possible"]
Mode = Literal["run", "trace", "attach", "core"]
How = Literal["unraisable", "uncaught", "thread", "greenlet", "hub", "printed", "fatal"]
Phase = Literal["running", "shutdown", "finalizing"]


class Entity(msgspec.Struct):
    """What the members of a report have in common: plain data."""


class Tool(Entity, kw_only=True):
    """Who wrote the report."""

    name: str = "lastwords"
    version: str


class Value(Entity, kw_only=True):
    """One Python object of the target as text; its code is never run.

    `repr` is None where the object could not be read, and `missing` then says why.
    """

    type: str | None = None
    repr: str | None = None
    address: int | None = None
    truncated: bool = False
    missing: Missing | None = None


class Frame(Entity, kw_only=True):
    """One frame of a stack, innermost first. `source` is the line's text, stripped of its indentation.

    module: `__name__` in the globals of a Python frame, where that was read
    offset: where a native frame's code is in its library's file, as the file counts addresses
    plumbing: the machinery of the interpreter or of the C library below what is of interest; shown when asked for
    """

    kind: Literal["python", "native"]
    function: str | None = None
    qualname: str | None = None
    module: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    source: str | None = None
    arguments: str | None = None
    locals: dict[str, Value] | None = None
    library: str | None = None
    address: int | None = None
    offset: int | None = None
    inlined: bool = False
    guessed: bool = False
    plumbing: bool = False


class Stack(Entity, kw_only=True):
    """Frames, innermost first. A half-read stack keeps what was read and says in `error` what stopped it."""

    frames: list[Frame] = []
    error: str | None = None


class Python(Entity, kw_only=True):
    """The interpreter of a process. `debug_symbols` says whether its DWARF was found."""

    version: str | None = None
    implementation: str | None = None
    build: str | None = None
    free_threaded: bool | None = None
    debug_symbols: bool | None = None


class Descriptor(Entity, kw_only=True):
    """An open file descriptor, as `/proc/PID/fd` names it."""

    fd: int
    target: str
    peer: str | None = None


class Exit(Entity, kw_only=True):
    """How a process ended: exactly one of the two is set."""

    code: int | None = None
    signal: int | None = None


class Process(Entity, kw_only=True):
    """A process that was watched or read. `agent` says whether our code inside it spoke, and if not, why.

    modules: the names in `sys.modules`, in its order (that of the imports, from 3.6 on), where they were read
    forked: whether it was forked and has executed no other program since
    signals_caught: the signals for which it has a handler, C or Python; signals_ignored: those it ignores
    signals_pending: those that were sent to it, and that no thread has taken yet
    signals_handled: those for which the program has given Python a function of its own, and not only C code
    signals_noted: those that Python has noted, for its main thread to call the handler, which has not done so yet
    patched: the modules that gevent has patched; kept: what other modules have kept of them from before, or on purpose
    halt: why none of its threads runs, whatever they wait for; None where they may
    """

    id: str
    pid: int
    ns_pid: int | None = None
    ppid: int | None = None
    argv: list[str] = []
    executable: str | None = None
    cwd: str | None = None
    python: Python | None = None
    libraries: dict[str, str] = {}
    namespaces: dict[str, str] = {}
    fds: list[Descriptor] = []
    exit: Exit | None = None
    agent: str | None = None
    modules: list[str] = []
    forked: bool | None = None
    signals_caught: list[str] | None = None
    signals_ignored: list[str] | None = None
    signals_pending: list[str] | None = None
    signals_handled: list[str] | None = None
    signals_noted: list[str] | None = None
    patched: list[str] | None = None
    kept: list[Kept] = []
    halt: Halt | None = None


class Halt(Entity, kw_only=True):
    """What keeps all threads of a process from running, from outside.

    how: "stopped": a signal has stopped it; "traced": a tracer holds it; "frozen": its control group is
    pid: of the tracer; file: of the control group, by which one thaws it
    """

    how: Literal["stopped", "traced", "frozen"]
    pid: int | None = None
    file: str | None = None


class Kept(Entity, kw_only=True):
    """A global of a module that is what gevent has replaced elsewhere: `original` is `threading.Lock`, say.

    order: the place of the module in `Process.modules`
    """

    module: str
    name: str
    original: str
    order: int


class Capture(Entity, kw_only=True):
    """How a moment was read; `problems` counts what was not."""

    method: str
    pause_ms: float | None = None
    bytes: int | None = None
    complete: bool = True
    problems: list[str] = []


class Gil(Entity, kw_only=True):
    """Thread ids of who holds the interpreter's lock and who wants it.

    kept_s: for how many seconds, at least, the holder has kept it, while it ran and others wanted it
    """

    holder: str | None = None
    waiters: list[str] = []
    kept_s: float | None = None


class Shutdown(Entity, kw_only=True):
    """Where the interpreter stands on its way out, and the id of what it waits for there.

    `step` is what it does in the phase "shutdown", where that was told.
    """

    phase: Phase = "running"
    step: Literal["threading._shutdown", "atexit"] | None = None
    waits_for: str | None = None


class Moment(Entity, kw_only=True):
    """The single instant that a capture shows. `test`: what pytest ran just then, as PYTEST_CURRENT_TEST has it."""

    id: str
    process: str
    reason: Literal["attach", "unraisable", "fatal", "hang", "core"]
    capture: Capture
    gil: Gil | None = None
    shutdown: Shutdown | None = None
    test: str | None = None


class WaitsFor(Entity, kw_only=True):
    """What a thread, greenlet or task waits for; `target` is the id of an entity of this report.

    `call` is the system call in which it waits; `until` seconds of the epoch, None: for ever, or not known.
    has_timeout: whether it ends by itself, at `until` or after a time whose beginning is not known
    function: the method that waits, where the object has several: "get", "put", "join" of a queue
    woken: whether it is over, by the word on which it sleeps: the thread has only not run since
    serves: whether it waits as servers do when nobody wants anything of them: for a connection, for the next request
        on one that was accepted, for what somebody types, for its parent; None where that is not to be told
    pid: of the process whose end it waits for, or that alone has the other end of what it reads or writes
    pids: of all processes that have other ends of what it reads or writes, its own among them, or whose end it waits
        for beside that; None where some may not be known
    """

    kind: Literal[
        "lock", "join", "event", "queue", "condition", "io", "process", "sleep", "gil", "hub", "import_lock", "unknown"
    ]
    target: str | None = None
    detail: str | None = None
    certainty: Certainty = "certain"
    call: str | None = None
    until: float | None = None
    has_timeout: bool = False
    serves: bool | None = None
    pid: int | None = None
    pids: list[int] | None = None
    function: str | None = None
    woken: bool = False


class Thread(Entity, kw_only=True):
    """A thread of a process. `ident` is what the interpreter calls it, `tid` what the kernel calls it.

    ns_tid: what the kernel calls it inside its container, where that is another number
    interpreter: the id of its interpreter, 0 for the main one; None for a thread that runs no Python
    state: what the kernel says of it ("running", "sleeping"); alive: whether the kernel still has it
    finishing: it has left its Python function, or was stopped by the interpreter's finalization
    consistent: False where it may have run while it was read
    idle_s: seconds since it last ran, by the scheduler's account, before it was stopped for us; 0: it ran meanwhile
    stack: Python and native frames as one; native_stack: the native ones, where they could not be merged into it
    pending, handled: the exception that is on its way up its stack, and the one that `sys.exc_info()` tells
    may_hold: the line by which it took a lock of which is not known which, and which it may have still
    greenlet: the greenlet that runs in it: its stack is this one's alone, those of its parents are below
    test: the one of pytest that left it running, where our plugin noted that
    signals_blocked: the signals that the kernel does not deliver to it, where that was asked for
    """

    id: str
    moment: str
    tid: int | None = None
    ns_tid: int | None = None
    ident: int | None = None
    name: str | None = None
    daemon: bool | None = None
    state: str | None = None
    is_main: bool | None = None
    holds_gil: bool | None = None
    interpreter: int | None = None
    alive: bool | None = None
    finishing: bool | None = None
    consistent: bool | None = None
    idle_s: float | None = None
    stack: list[Frame] = []
    native_stack: list[Frame] | None = None
    c_stack_gdb: list[Frame] | None = None
    greenlet: str | None = None
    waits_for: WaitsFor | None = None
    holds: list[str] = []
    pending: ExceptionValue | None = None
    handled: ExceptionValue | None = None
    signals_blocked: list[str] | None = None
    may_hold: Frame | None = None
    test: str | None = None
    error: str | None = None


class Greenlet(Entity, kw_only=True):
    """A greenlet; `run` is the function it runs, where anything tells.

    name: that it was given, or gevent's own ("Greenlet-3"); is_main: of its thread
    thread: the one that it belongs to, running there or not; None where that has ended
    spawned_at: where gevent's `spawn` was called, innermost first
    stack: Python and native frames as one; native_stack: the native ones, where they could not be merged into it
    """

    id: str
    moment: str
    address: int | None = None
    type: str | None = None
    name: str | None = None
    is_main: bool = False
    thread: str | None = None
    state: Literal["running", "suspended", "unstarted", "dead"] | None = None
    parent: str | None = None
    run: Frame | None = None
    spawned_at: list[Frame] = []
    stack: list[Frame] = []
    native_stack: list[Frame] | None = None
    waits_for: WaitsFor | None = None
    holds: list[str] = []
    error: str | None = None


class Task(Entity, kw_only=True):
    """An asyncio task that is not done.

    state: "ready": it will run as soon as its loop comes to it; "unstarted": the same, for the first time
    loop: the id of its event loop; thread: the one in which it runs right now
    cancelling: whether somebody has asked it to end (Task.cancel), and it has not
    stack: its coroutine, what that awaits, and so on, innermost first; of one that runs, the part of the thread's
        stack that is the task's
    may_hold: as a thread's, where nobody is known to hold a lock that is waited for
    """

    id: str
    moment: str
    address: int | None = None
    type: str | None = None
    name: str | None = None
    state: Literal["running", "waiting", "ready", "unstarted"] | None = None
    loop: str | None = None
    thread: str | None = None
    cancelling: bool = False
    stack: list[Frame] = []
    waits_for: WaitsFor | None = None
    holds: list[str] = []
    may_hold: Frame | None = None
    error: str | None = None


class Loop(Entity, kw_only=True):
    """An asyncio event loop that has tasks. What its class does not keep is None.

    thread: in which it runs; task: the one that runs in it right now
    ready: callbacks that it will call at once; scheduled: those whose time is to come, or has come;
    overdue: how many of these should have been called; overdue_s: for how many seconds the first of them
    """

    id: str
    moment: str
    address: int | None = None
    type: str | None = None
    thread: str | None = None
    task: str | None = None
    ready: int | None = None
    scheduled: int | None = None
    overdue: int | None = None
    overdue_s: float | None = None
    error: str | None = None


class Hub(Entity, kw_only=True):
    """gevent's hub of one thread.

    state: "polling" in its loop, for something to happen; "callback": it runs what its loop called; "switched out":
        another greenlet of the thread runs; "unstarted" before anybody waited; None where that is not known
    inside: of state "callback", the function that the loop called, or that a signal or the collector ran there
    callbacks, timers, watchers: what can wake somebody, as texts, the first thousand of each; counts: of how many
    others: watchers of other kinds that keep the loop going: children, signals, other threads
    since_s: seconds since its loop last turned
    complete: whether all of the above was read
    signals: those for which its loop has a watcher (gevent.signal_handler)
    searched: whether it was looked for who else knows the objects that its greenlets wait for (`may_wake`)
    """

    id: str
    moment: str
    thread: str | None = None
    greenlet: str | None = None
    loop: str | None = None
    state: Literal["polling", "callback", "switched out", "unstarted"] | None = None
    inside: Frame | None = None
    callbacks: list[str] = []
    timers: list[str] = []
    watchers: list[str] = []
    counts: dict[str, int] = {}
    others: int = 0
    since_s: float | None = None
    signals: list[str] = []
    complete: bool = False
    searched: bool = False


class Object(Entity, kw_only=True):
    """A lock, queue, socket ... that somebody waits for or holds.

    name: how the program calls it ("self._lock"), where a frame showed that
    owner_ident: what an RLock keeps of its owner; owner: the id of that thread, None where it no longer exists
    limit: how many items a queue may have, None for any number
    unfinished: how many items of a queue nobody has reported as done (`task_done`)
    shared: the memory that a lock of processes is in, "device:inode+offset": the same for each who has that lock
    sharers: the pids of the other processes that have that memory mapped; None where that is not known
    """

    id: str
    moment: str
    kind: str
    type: str | None = None
    name: str | None = None
    address: int | None = None
    locked: bool | None = None
    owner: str | None = None
    owner_ident: int | None = None
    count: int | None = None
    limit: int | None = None
    unfinished: int | None = None
    shared: str | None = None
    sharers: list[int] | None = None
    state: dict[str, Value] = {}
    made_at: Frame | None = None


class Edge(Entity, kw_only=True):
    """A relation between two entities, by their ids. `complete` is False where the search hit a bound.

    at: the line by which a lock was taken, where a frame shows that
    """

    origin: str = msgspec.field(name="from")
    to: str
    kind: Literal["waits", "holds", "may_wake", "references", "parent"]
    certainty: Certainty
    evidence: str | None = None
    at: Frame | None = None
    complete: bool = True


class ExceptionValue(Entity, kw_only=True):
    """An exception of the target: type, text, where it came from, and what it came out of.

    `traceback` lists the frames innermost first, like a stack. `value` is what `str()` of it would print,
    as far as that could be told without running the target's code.
    """

    type: str | None = None
    value: str | None = None
    args: list[Value] = []
    traceback: list[Frame] = []
    cause: ExceptionValue | None = None
    context: ExceptionValue | None = None
    error: str | None = None


class Caught(Entity, kw_only=True):
    """An exception that had nobody to go to, or that ended a program, a thread or a greenlet.

    `message` is what the interpreter printed (or would have) above the traceback, verbatim;
    `stack` the C and `python_stack` the Python frames of the thread at that moment. `count` is how often the
    same exception left the same place. `test` is what pytest ran at that moment (the first of them).

    knew: of one that ended a thread, the locks, events and queues to which its frames led
    words: what the C code that dropped it says it was doing: the text (3.8 to 3.12) or the format (3.13) that it passed
    on, a constant of its source
    gone: the globals (and what modules among them have), named by the code that raised it, that had become None: its
    module, or the interpreter, was being taken apart
    hook: `sys.excepthook`, where this came of that hook itself, as it was to tell of another exception
    """

    id: str
    process: str
    how: How
    moment: str | None = None
    thread: str | None = None
    greenlet: str | None = None
    message: str | None = None
    exception: ExceptionValue | None = None
    object: Value | None = None
    stack: list[Frame] = []
    python_stack: list[Frame] = []
    count: int = 1
    phase: Phase = "running"
    knew: list[Known] = []
    test: str | None = None
    words: str | None = None
    hook: str | None = None
    gone: list[str] = []
    error: str | None = None


class Known(Entity, kw_only=True):
    """A lock, event or queue to which a frame led: by the name of a variable, or of what it names elsewhere."""

    kind: str
    address: int
    name: str


class Sample(Entity, kw_only=True):
    """One cheap look at a running thread."""

    moment: str
    thread: str
    stack: list[Frame] = []
    cpu_ms: float | None = None


class TraceCall(Entity, kw_only=True):
    """One call that hunter saw: `start` in seconds since the trace began, `seconds` how long it took.

    `result` and `exception` are short texts made inside the target without calling its code.
    `changed` are locals that got another value while the call ran.
    """

    process: str
    function: str
    file: str | None = None
    line: int | None = None
    source: str | None = None
    kind: Literal["python", "builtin"] = "python"
    thread: str | None = None
    start: float | None = None
    seconds: float | None = None
    arguments: dict[str, str] = {}
    changed: list[str] = []
    result: str | None = None
    exception: str | None = None
    calls: list[TraceCall] = []


class WatchedImport(Entity, kw_only=True):
    """Who imported a module first: the whole chain of frames, innermost (the import statement) first.

    `order` is the place of the module among those watched, from 0.
    """

    process: str
    module: str
    first_importer: list[Frame] = []
    order: int


class Patch(Entity, kw_only=True):
    """gevent replaced attributes of `module`; `at` is the stack of the call that did it, innermost first.

    `after` counts the modules that were loaded before; `thread` is the native ident of the patching thread.
    """

    process: str
    module: str
    attributes: list[str] = []
    at: list[Frame] = []
    order: int
    thread: int | None = None


class ThreadingState(Entity, kw_only=True):
    """What `threading` believes at one moment, read from the target.

    `active` are the entries of `threading._active`: key, thread name, and what the key is.
    `get_ident` is the function that `threading` calls to find itself; `get_ident_module` where it was defined;
    `current_ident` what it would return for this thread, read from the target without a call.
    `ended`: the threads that have ended, and whose Thread objects somebody still has, by their names.
    """

    moment: str
    active: list[ActiveThread] = []
    native_ident: int | None = None
    main_ident: int | None = None
    get_ident: str | None = None
    get_ident_module: str | None = None
    current_ident: int | None = None
    patched: bool | None = None
    ended: list[str] = []
    error: str | None = None


class ActiveThread(Entity, kw_only=True):
    """One entry of `threading._active`. `is_native` says whether the key is a native thread ident that exists."""

    key: int
    name: str | None = None
    type: str | None = None
    ident: int | None = None
    daemon: bool | None = None
    is_native: bool | None = None


class Imports(Entity, kw_only=True):
    """What the agent recorded of imports and patches, in the order it happened."""

    watched: list[WatchedImport] = []
    patches: list[Patch] = []


class Subject(Entity, kw_only=True):
    """What a finding is about."""

    kind: str
    name: str
    id: str | None = None
    file: str | None = None
    line: int | None = None


class Evidence(Entity, kw_only=True):
    """One fact that a finding rests on, so that a reader can check it.

    depth: how many steps down a chain of waits it is: 0 is about who waits first, 1 about whom that one waits for
    """

    text: str
    file: str | None = None
    line: int | None = None
    address: int | None = None
    value: str | None = None
    depth: int = 0


class Finding(Entity, kw_only=True):
    """A verdict: its code (`lastwords explain CODE`), what it is about, why we say so, and what helps."""

    code: str
    title: str
    certainty: Certainty
    process: str | None = None
    subjects: list[Subject] = []
    evidence: list[Evidence] = []
    explanation: str = ""
    fix: str = ""
    references: list[str] = []


class Report(Entity, kw_only=True):
    """One document: what was seen of some processes, and what follows from it.

    window_ms: within how many milliseconds all moments lie, where several processes were read (`attach --tree`)
    """

    schema: int = SCHEMA
    tool: Tool
    mode: Mode
    captured_at: str
    window_ms: float | None = None
    processes: list[Process] = []
    moments: list[Moment] = []
    threads: list[Thread] = []
    greenlets: list[Greenlet] = []
    tasks: list[Task] = []
    loops: list[Loop] = []
    hubs: list[Hub] = []
    objects: list[Object] = []
    edges: list[Edge] = []
    exceptions: list[Caught] = []
    samples: list[Sample] = []
    trace: list[TraceCall] = []
    imports: Imports = msgspec.field(default_factory=Imports)
    threading: list[ThreadingState] = []
    problems: list[str] = []
    findings: list[Finding] = []


def to_json(report: Report) -> bytes:
    """The report as one JSON document, indented, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def from_json(document: bytes) -> Report:
    """The report that `document` holds. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(document, type=Report)


def json_schema() -> dict[str, object]:
    """The JSON Schema (draft 2020-12) that every report follows."""
    return msgspec.json.schema(Report)
