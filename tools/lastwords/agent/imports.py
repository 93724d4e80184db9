"""The first import of each watched module: by which chain of frames, and in which order. Joins `sitecustomize`."""

# mypy: ignore-errors

MAX_FRAMES = 200

# What gevent patches, and gevent itself. `os`, `time` and others may be loaded before: then nobody imported them.
WATCHED = (
    "thread _thread threading socket ssl select selectors subprocess Queue queue time signal logging asyncio "
    "multiprocessing concurrent.futures contextvars gevent gevent.monkey gevent.monkey._state gevent.hub"
).split()


def chain(frame):
    """The frames from `frame` outwards, innermost first, without importlib's and ours."""
    frames = []
    while frame is not None and len(frames) < MAX_FRAMES:
        code = frame.f_code
        if frame.f_globals is not OURS and not code.co_filename.startswith("<frozen importlib"):
            frames.append(place(code, frame.f_lineno, frame.f_globals))
        frame = frame.f_back
    return frames


def place(code, line, namespace):
    """[file, line, function, qualified name or None, module or None]."""
    module = dict.get(namespace, "__name__")
    return [
        code.co_filename,
        line,
        code.co_name,
        getattr(code, "co_qualname", None),
        module if type(module) is str else None,
    ]


def exceptions_of(tb):
    """The traceback `tb` as frames, innermost first."""
    frames = []
    while tb is not None and len(frames) < 10 * MAX_FRAMES:
        frames.append(place(tb.tb_frame.f_code, tb.tb_lineno, tb.tb_frame.f_globals))
        tb = tb.tb_next
    return frames[: -MAX_FRAMES - 1 : -1]


class Imports(object):
    """The first import of each watched module: who, in which order; and what to do once it is there."""

    def __init__(self):
        self.seen = {}
        self.chains = {}  # this and `patched` are for `lastwords.guard.check()`
        self.patched = {}
        self.hooks = {
            "threading": watch_threading,
            "thread": watch_thread,
            "gevent.monkey": watch_patches,
            "gevent.monkey._state": watch_patches,
            "gevent.hub": watch_hub,
        }

    def started(self, name, frame):
        if not channel.muted and name not in self.seen:
            self.seen[name] = len(self.seen)
            self.chains[name] = chain(frame)
            channel.write("import", module=name, order=self.seen[name], chain=self.chains[name])

    def ended(self, name):
        module = sys.modules.get(name)
        if channel.muted:
            return
        if module is None:
            if self.seen.pop(name, None) is not None:
                channel.write("import_failed", module=name)
        elif name in self.hooks:
            try:
                self.hooks[name](module)
            except (AttributeError, TypeError, KeyError, ValueError):  # another gevent than those we know
                channel.write("unwatched", module=name, why=describe(sys.exc_info()[1]))

    def already_there(self):
        for name in WATCHED:
            if name in sys.modules:
                self.seen[name] = len(self.seen)
                if hasattr(sys.modules[name], "__file__"):  # else the interpreter itself brings it
                    self.chains[name] = []
                    channel.write("import", module=name, order=self.seen[name], chain=[])
        for name in WATCHED:
            if name in sys.modules:
                self.ended(name)


class Finder(object):
    """First on `sys.meta_path`; finds nothing itself."""

    def __init__(self):
        self.busy = set()
        self.lastwords_record = imports


def find_spec(self, name, path=None, target=None):
    """The spec that the other finders have, made to tell when its module starts and ends loading."""
    if name not in WATCHED or channel.muted:
        return None
    for finder in after(self, sys.meta_path):
        try:
            spec = finder.find_spec(name, path, target)
        except Exception:  # importlib asks again, and then it fails without a frame of ours
            return None
        if spec is not None:
            if type(spec) is ModuleSpec:
                spec.__class__ = WatchedSpec
            return spec
    return None


def after(finder, finders):
    """Those behind `finder`; whether they are equal is not asked, for that could be the program's code."""
    places = [at for at, one in enumerate(finders) if one is finder]
    return finders[places[0] + 1 :] if places else []


def find_module(self, name, path=None):
    """2.7 has no specs: import it here, and hand it over as our find."""
    if name not in WATCHED or name in self.busy or dict.get(getframe(1).f_globals, "__name__") == "pkgutil":
        return None
    self.busy.add(name)
    imports.started(name, getframe(1))
    try:
        builtin_import(name, {}, {}, [], 0)
    except Exception:  # the interpreter tries again, and fails without a frame of ours
        pass
    self.busy.discard(name)
    imports.ended(name)
    return Loader() if name in sys.modules else None


class Loader(object):
    """What `find_module` hands over: the module is there already."""

    def load_module(self, name):
        return sys.modules[name]


if PY2:
    builtin_import = __builtins__["__import__"]
    Finder.find_module = find_module
else:
    Finder.find_spec = find_spec
    ModuleSpec = type(sys.__spec__)

    class WatchedSpec(ModuleSpec):
        """importlib sets `_initializing` True before and False after it runs the module's code."""

        @property
        def _initializing(self):
            return self.__dict__.get("_initializing", False)

        @_initializing.setter
        def _initializing(self, value):
            self.__dict__["_initializing"] = value
            if value:
                imports.started(self.name, getframe(1))
            else:
                self.__class__ = ModuleSpec
                imports.ended(self.name)

    WatchedSpec.__name__ = WatchedSpec.__qualname__ = "ModuleSpec"
    WatchedSpec.__module__ = ModuleSpec.__module__


def watch_thread(module):
    """The interpreter's own `get_ident`, before anybody replaces it."""
    if channel.get_ident is None:
        channel.get_ident = module.get_ident
