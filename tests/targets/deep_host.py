# -*- coding: utf-8 -*-
"""Runs one generated program after another and says of each, from inside, what a reader should find from outside.

A line of stdin is a program: JSON {"source": ..., "file": ...}. The answer is one line, `facts {...}`, written when
all threads stand; nothing moves then before the next line of stdin. tests/deep/programs.py generates the programs; the
functions here whose names they use are listed in TOOLS.
"""

import ast
import functools
import json
import os
import select
import socket
import sys
import threading
import time
import types

try:
    import queue
except ImportError:
    import Queue as queue

try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        interpreters = None

try:
    unicode_type = unicode
except NameError:
    unicode_type = str

PATIENCE = 30.0
CHAIN_LIMIT = 4  # of __cause__ and __context__: so many the reader follows
SCALARS = (type(None), bool, int, float, complex, str, bytes, unicode_type, bytearray, type(Ellipsis), type(2**70))
CONTAINERS = (tuple, list, set, frozenset, dict)
INSIDE = """
import json, os, sys
def deep(number):
    frames = []
    frame = sys._getframe()
    while frame is not None:
        code = frame.f_code
        frames.append([code.co_filename, frame.f_lineno, code.co_name])
        frame = frame.f_back
    frames[0][1] = {line}
    os.write({answer}, json.dumps([frames, list(sys.modules)]).encode())
    os.read({gate}, 1)
[deep(number) for number in range(1)]
"""
INSIDE_LINE = INSIDE.split("\n").index("    os.read({gate}, 1)") + 1


class State(object):
    """Of the program that runs now."""

    def __init__(self):
        self.threads = []
        self.stood = 0
        self.waits = {}
        self.tids = {}
        self.handled = {}
        self.holds = {}
        self.gates = []
        self.closing = []
        self.error = None
        self.inside = None


state = State()
made = []  # sub-interpreters
positions = {}


def own_tid():
    return int(os.readlink("/proc/thread-self").rpartition("/")[2])


# What programs call.


def standing(kind, thing=None, fd=None, target=None):
    """The calling thread says that its next call is the one in which it stands still."""
    ident = threading.current_thread().ident
    exc_type, value, tb = sys.exc_info()
    state.handled[ident] = value is not None and describe_exception(exc_type, value, tb) or None
    state.tids[ident] = own_tid()
    threading.current_thread().sleeps = kind == "sleep"
    state.waits[ident] = {"kind": kind, "object": thing and id(thing), "fd": fd, "target": target}
    state.stood += 1
    if ident == main_ident:
        os.write(to_teller, b"m")


def hold(lock, how="with"):
    """The calling thread has just got the lock, once more."""
    state.holds.setdefault(threading.current_thread().ident, []).append([id(lock), type(lock).__name__, how])


def let_go(lock):
    """It has released it, or is about to wait on it as a Condition."""
    held = state.holds[threading.current_thread().ident]
    held.remove(next(entry for entry in reversed(held) if entry[0] == id(lock)))


def new_gate():
    """A lock that is taken until the end of the program."""
    gate = threading.Lock()
    gate.acquire()
    state.gates.append(gate.release)
    return gate


def new_pipe():
    """A descriptor from which nothing comes until the end of the program."""
    reading, writing = os.pipe()
    state.gates.append(lambda: os.write(writing, b"x"))
    state.closing.append(lambda: (os.close(reading), os.close(writing)))
    return reading


def new_socket():
    ours, theirs = socket.socketpair()
    state.gates.append(lambda: theirs.send(b"x"))
    state.closing.append(lambda: (ours.close(), theirs.close()))
    return ours


def new_event():
    event = threading.Event()
    state.gates.append(event.set)
    return event


def new_condition(lock=None):
    condition = threading.Condition(lock)

    def release():
        with condition:
            condition.notify_all()

    state.gates.append(release)
    return condition


def new_queue(kind="Queue"):
    made = getattr(queue, kind)()
    state.gates.append(lambda: made.put(None))
    return made


def new_semaphore():
    semaphore = threading.Semaphore(0)
    state.gates.append(semaphore.release)
    return semaphore


def new_barrier():
    barrier = threading.Barrier(2)
    state.gates.append(barrier.abort)
    return barrier


def wait_at(barrier):
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        pass


def wait_in_other_interpreter():
    """Stands in a sub-interpreter, which describes itself."""
    answer, write_answer = os.pipe()
    gate = new_pipe()
    code = INSIDE.format(answer=write_answer, gate=gate, line=INSIDE_LINE)
    running = threading.Thread(target=run_inside, args=(code,), name="inside")
    state.closing.append(lambda: (running.join(), os.close(answer)))
    state.stood -= 1
    running.start()
    data = b""
    while not data.endswith(b"]]"):
        data += os.read(answer, 65536)
    frames, modules = json.loads(data.decode())
    state.inside = {"interpreter": int(made[-1]), "ident": running.ident, "frames": frames, "modules": modules}
    os.close(write_answer)
    running.join()


def run_inside(code):
    """In the thread that made it: before 3.12 an interpreter keeps the ident of that one, whoever runs it."""
    try:
        made.append(interpreters.create("legacy"))
    except TypeError:
        made.append(interpreters.create())
    standing("other_interpreter")
    interpreters.run_string(made[-1], code)


class Call(object):
    """Calls a function out of C: as an operator, an attribute, an iterator, a comparison, at its end."""

    def __init__(self, function):
        self.function = function

    def __add__(self, other):
        return self.function()

    def __getattr__(self, name):
        return self.function()

    def __getitem__(self, index):
        return self.function()

    def __iter__(self):
        return iter([self.function()])

    def __lt__(self, other):
        return self.function()

    def __call__(self):
        return self.function()

    def __enter__(self):
        return self.function()

    def __exit__(self, *arguments):
        pass

    @property
    def value(self):
        return self.function()


class Ends(object):
    """Calls a function when it is deleted."""

    def __init__(self, function):
        self.function = function

    def __del__(self):
        self.function()


class Worker(threading.Thread):
    """A thread that is a class of its own."""

    def __init__(self, target, name):
        threading.Thread.__init__(self, name=name)
        self.work = target

    def run(self):
        self.work()


def passes_on(function):
    """A decorator."""

    @functools.wraps(function)
    def passing(*arguments, **named):
        return function(*arguments, **named)

    return passing


def start(first, name, daemon, kind="Thread"):
    """Starts a thread of the program and returns when it stands, so that the next one may wait for what it holds."""
    thread = Worker(guarded(first), name) if kind == "Worker" else threading.Thread(target=guarded(first), name=name)
    thread.daemon = daemon
    state.threads.append(thread)
    stood = state.stood
    thread.start()
    deadline = time.time() + PATIENCE
    while state.stood == stood and state.error is None and time.time() < deadline:
        time.sleep(0.0003)
    wait_until_quiet()
    return thread


def guarded(function):
    """The function, whose exception is told to the outside."""

    def guard():
        try:
            function()
        except BaseException:
            state.error = describe_failure()

    return guard


TOOLS = (
    standing, hold, let_go, new_gate, new_pipe, new_socket, new_event, new_condition, new_queue, new_semaphore,
    new_barrier, wait_at, wait_in_other_interpreter, Call, Ends, passes_on, start,
    ast, functools, os, select, sys, threading, time, types, queue,
)  # fmt: skip


# What is said of them.


def describe_failure():
    import traceback

    return traceback.format_exc()


def is_plain(value, depth=0):
    """Whether its repr is that of built-in types alone, and of bounded depth."""
    if type(value) in SCALARS:
        return True
    if type(value) not in CONTAINERS or depth > 8 or len(value) > 5000:
        return False
    items = value if type(value) is not dict else [item for pair in value.items() for item in pair]
    return all(is_plain(item, depth + 1) for item in items)


def describe_value(value):
    """[type, repr], the repr None where another type than a built-in one is in it."""
    kind = type(value)
    return [kind.__name__, text_of(repr(value)) if is_plain(value) else None, id(value)]


def text_of(text):
    return text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text


def find_column(frame):
    code = frame.f_code
    if not hasattr(code, "co_positions"):
        return None
    if code not in positions:
        positions[code] = list(code.co_positions())
    return positions[code][frame.f_lasti // 2][2]


def describe_frames(frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        is_module = frame.f_locals is frame.f_globals
        frames.append(
            {
                "file": code.co_filename,
                "line": frame.f_lineno,
                "name": code.co_name,
                "qualname": getattr(code, "co_qualname", None),
                "column": find_column(frame),
                "locals": None if is_module else {k: describe_value(v) for k, v in dict(frame.f_locals).items()},
            }
        )
        frame = frame.f_back
    return frames


def describe_exception(of_type, value, tb, depth=0):
    shown = depth < CHAIN_LIMIT and not getattr(value, "__suppress_context__", False)
    context = getattr(value, "__context__", None) if shown else None
    cause = getattr(value, "__cause__", None) if depth < CHAIN_LIMIT else None
    return {
        "type": of_type.__name__,
        "value": str(value),
        "traceback": describe_traceback(tb),
        "context": context and describe_exception(type(context), context, context.__traceback__, depth + 1),
        "cause": cause and describe_exception(type(cause), cause, cause.__traceback__, depth + 1),
    }


def describe_traceback(tb):
    found = []
    while tb is not None:
        code = tb.tb_frame.f_code
        found.append([code.co_filename, tb.tb_lineno, code.co_name])
        tb = tb.tb_next
    return found[::-1]


def describe_thread(thread):
    return [text_of(thread.name), type(thread).__module__ + "." + type(thread).__name__, thread.ident, thread.daemon]


def describe_all():
    me = threading.current_thread().ident
    return {
        "error": state.error,
        "teller": me,
        "main": main_ident,
        "stacks": {str(ident): describe_frames(frame) for ident, frame in sys._current_frames().items() if ident != me},
        "active": [[key, describe_thread(thread)] for key, thread in threading._active.items()],
        "modules": [text_of(name) for name in sys.modules],
        "tids": {str(key): value for key, value in state.tids.items()},
        "handled": {str(key): value for key, value in state.handled.items()},
        "waits": {str(key): value for key, value in state.waits.items()},
        "holds": {str(key): value for key, value in state.holds.items()},
        "inside": state.inside,
    }


def look():
    """Context switches of every other thread by tid; None where one is not asleep."""
    found = {}
    me = own_tid()
    for name in os.listdir("/proc/self/task"):
        if int(name) == me:
            continue
        try:
            with open("/proc/self/task/%s/status" % name) as file:
                lines = dict(line.split(":", 1) for line in file.read().splitlines())
        except (IOError, OSError):
            return None
        if lines["State"].split()[0] != "S":
            return None
        found[name] = lines["voluntary_ctxt_switches"], lines["nonvoluntary_ctxt_switches"]
    return found


def wait_until_quiet():
    """Until every other thread sleeps, and slept while nobody had the interpreter's lock: none waits for that."""
    deadline = time.time() + PATIENCE
    before = None
    while time.time() < deadline:
        now = look()
        if now is not None and now == before:
            return
        before = now
        time.sleep(0.0005)
    state.error = state.error or "the threads do not come to rest"


# The program's turn and the teller's.


def run(job):
    """In the main thread: the program, which ends in a call that stands."""
    space = {getattr(tool, "__name__").rpartition(".")[2]: tool for tool in TOOLS}
    space["queue"] = queue
    space["__name__"] = "program"
    space["__builtins__"] = __builtins__
    try:
        exec(compile(job["source"].encode("utf-8"), job["file"].encode("utf-8") if bytes is str else job["file"],
                     "exec"), space)  # fmt: skip
        space["main"]()
    except BaseException:
        if main_ident not in state.waits:
            state.error = describe_failure()
            os.write(to_teller, b"e")
    for thread in state.threads:
        if not getattr(thread, "sleeps", False):
            thread.join(10)
            if thread.is_alive():  # it waits, perhaps through others, for one that sleeps
                state.error = state.error or "a thread does not end"
                break
    for close in state.closing:
        close()
    space.clear()


def tell():
    """In its own thread: says what is there when all stand, and lets them go when it is told to."""
    global state
    for line in iter(sys.stdin.readline, ""):
        state = State()
        over.clear()
        jobs.put(json.loads(line))
        os.read(news, 1)
        wait_until_quiet()
        sys.stdout.write("facts " + json.dumps(describe_all()) + "\n")
        sys.stdout.flush()
        if not sys.stdin.readline():
            break
        for release in state.gates:
            release()
        over.wait()
        sys.stdout.write("over " + json.dumps(state.error) + "\n")
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.setrecursionlimit(6000)
    threading.stack_size(64 << 20)
    main_ident = threading.current_thread().ident
    jobs = queue.Queue()
    over = threading.Event()
    news, to_teller = os.pipe()
    teller = threading.Thread(target=tell, name="teller")
    teller.daemon = True
    teller.start()
    while True:
        run(jobs.get())
        over.set()
