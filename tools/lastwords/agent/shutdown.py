"""The hunter trace of the program's end: `threading._shutdown`, then what `atexit` calls. Python 2.7 to 3.15.

Run by `sitecustomize.arm_at_exit` when C is about to call `threading._shutdown`, and only then: `import hunter`
loads `threading`, and before the program it would make the very bug that is looked for. hunter's printers ask
for `threading.current_thread()`, which changes `threading._active`: so none is used, and each event is written
down as it happens, for the shutdown may never end.
"""

# mypy: ignore-errors

MAX_EVENTS = 20000
OURS = globals()

short, describe, cut, encode = agent["short"], agent["describe"], agent["cut"], agent["encode"]  # noqa: F821
is_finalizing = getattr(sys, "is_finalizing", None)  # noqa: F821
tracers = []
kept = []


def arm():
    """Start the trace, if hunter is there and nobody else traces."""
    if sys.gettrace() is not None or sys.getprofile() is not None:
        channel.write("untraced", why="busy")
        return
    channel.muted += 1
    try:
        hunter, why = import_hunter()
    finally:
        channel.muted -= 1
    if hunter is None:
        channel.write("untraced", why="no hunter", error=why)
        return
    version = getattr(hunter, "__version__", None)
    try:
        tracers.append(hunter.Tracer(threading_support=False, profiling_mode=True))
        tracers.append(hunter.Tracer(threading_support=False))
    except TypeError:
        channel.write("untraced", why="old hunter", error=describe(sys.exc_info()[1]))
        return
    channel.write("traced", t=clock(), hunter=version if type(version) is str else None)
    calls = Calls()
    for tracer, handler in zip(tracers, (calls.on_builtin, calls.on_event)):
        tracer.trace(handler)


def import_hunter():
    """hunter, and no trace of it: neither in `sys.modules` nor as a .pyc. The collector sleeps meanwhile."""
    before, importers = dict(sys.modules), set(sys.path_importer_cache)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    gc = __import__("gc")
    collects = gc.isenabled()
    gc.disable()
    filters = quiet_warnings()
    path = sys.path[:]
    if hunter_directory:  # hunter's own place, which no `site` looks into (see `capture/agent.py`)
        sys.path.insert(0, hunter_directory)
    try:
        import hunter

        return hunter, None
    except Exception:
        return None, describe(sys.exc_info()[1])
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = writes
        for name in [name for name in list(sys.modules) if name not in before]:
            kept.append(sys.modules.pop(name))
        for path in set(sys.path_importer_cache) - importers:
            del sys.path_importer_cache[path]
        loud_again(filters)
        if collects:
            gc.enable()


def quiet_warnings():
    warnings = sys.modules.get("warnings")
    if warnings is None:
        return None
    guard = warnings.catch_warnings()
    guard.__enter__()
    warnings.simplefilter("ignore")
    return guard


def loud_again(guard):
    if guard is not None:
        guard.__exit__(None, None, None)


def stop():
    while tracers:
        tracers.pop().stop()


class Call(object):
    """A call that has not ended: its number, what its locals were, and the exception that was last seen in it."""

    def __init__(self, number, values):
        self.number = number
        self.values = values
        self.exception = None
        self.builtin = None


class Calls(object):
    """hunter's events, as records. Frames nest by who called them, so that greenlets do not mix."""

    def __init__(self):
        self.open = {}
        self.count = 0
        self.returned = None

    def on_event(self, event):
        frame = event.frame
        if frame.f_globals is OURS or frame.f_globals is agent:
            return
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return
        if is_finalizing is not None and is_finalizing():
            stop()
            return
        try:
            getattr(self, "on_" + event.kind)(frame, event.arg)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError):
            channel.write("untraced", why="failed", error=describe(sys.exc_info()[1]))
            stop()

    def tell(self, kind, **fields):
        self.count += 1
        if self.count > MAX_EVENTS:
            channel.write("untraced", why="full")
            stop()
        else:
            channel.write(kind, t=clock(), **fields)

    def parent(self, frame):
        while frame is not None:
            call = self.open.get(id(frame))
            if call is not None:
                return call.number
            frame = frame.f_back
        return None

    def on_call(self, frame, arg):
        code = frame.f_code
        values = texts(frame)
        number = self.count
        call = self.open[id(frame)] = Call(number, values)
        self.returned = None
        function = getattr(code, "co_qualname", None) or code.co_name
        names = code.co_varnames[: code.co_argcount]
        self.tell(
            "call",
            id=call.number,
            parent=self.parent(frame.f_back),
            function=function,
            file=code.co_filename,
            line=frame.f_lineno,
            args=dict([(name, values[name]) for name in names if name in values]),
        )

    def on_line(self, frame, arg):
        call = self.open.get(id(frame))
        self.returned = None
        if call is not None:
            call.exception = None
            self.tell_changes(frame, call)

    def tell_changes(self, frame, call):
        values = texts(frame)
        changed = dict([(name, values[name]) for name in values if call.values.get(name) != values[name]])
        call.values = values
        if changed:
            self.tell("changed", id=call.number, values=changed)

    def on_exception(self, frame, arg):
        call = self.open.get(id(frame))
        if call is None:
            return
        text = call.exception = describe(arg[1]) if arg[1] is not None else agent["type_name"](arg[0])
        out_of = self.returned[0] if self.returned and self.returned[1] == call.number else None
        self.tell("raise", id=call.number, line=frame.f_lineno, text=text, out_of=out_of)

    def on_return(self, frame, arg):
        call = self.open.pop(id(frame), None)
        if call is None:
            return
        self.tell_changes(frame, call)
        parent = self.parent(frame.f_back)
        self.returned = call.number, parent
        ended_by = call.exception if arg is None else None
        self.tell("return", id=call.number, value=short(arg), exception=ended_by)
        if parent is None and is_finalizing is None and "exitfunc" not in sys.__dict__:
            stop()  # 2.7: `sys.exitfunc` is gone once it has been called

    def on_builtin(self, event):
        """What profiling adds: calls into C. Only those of locks, threads, clocks and files may take time."""
        if not event.builtin or event.frame.f_globals is OURS or event.frame.f_globals is agent:
            return
        call = self.open.get(id(event.frame))
        if call is None:
            return
        try:
            self.builtin(event, call)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError):
            channel.write("untraced", why="failed", error=describe(sys.exc_info()[1]))
            stop()

    def builtin(self, event, call):
        if event.kind == "call":
            name, owner = builtin_name(event.arg)
            call.builtin = self.count if name else None
            if name:
                self.tell(
                    "call",
                    id=call.builtin,
                    parent=call.number,
                    function=name,
                    builtin=True,
                    file=event.frame.f_code.co_filename,
                    line=event.frame.f_lineno,
                    args=owner,
                )
        elif call.builtin is not None:
            number, call.builtin = call.builtin, None
            self.tell("return", id=number, value=None, raised=event.kind == "exception")


QUIET = (str, bytes, list, tuple, dict, set, frozenset, int, float, type(None), type, BaseException)
QUIET_MODULES = ("builtins", "__builtin__", "sys", "_warnings", "math", "itertools", "_weakref", "_functools")


def builtin_name(function):
    """(`thread._shutdown` or `lock.acquire`, {owner}), or (None, None) for what can only compute."""
    owner = function.__self__
    if owner is None or type(owner) is type(sys):
        module = function.__module__
        if type(module) is not str or module in QUIET_MODULES:
            return None, None
        return module + "." + function.__name__, {}
    if any([cls in QUIET for cls in agent["mro"](type(owner))]):
        return None, None
    return agent["type_name_of"](type(owner)) + "." + function.__name__, {"self": short(owner)}


def texts(frame):
    """The frame's locals as short texts."""
    values = frame.f_locals
    names = [name for name in list(values)[:40] if type(name) is str]
    return dict([(name, short(values[name])) for name in names if name in values])
