"""Uncaught exceptions of threads, and the moment when the interpreter waits for threads. Joins `sitecustomize`."""

# mypy: ignore-errors


def watch_threading(module):
    """Look at uncaught exceptions of threads, and at the moment in which the interpreter waits for threads."""
    time = sys.modules.get("time")
    shutdown["clock"] = getattr(time, "monotonic", None) or getattr(time, "time", None)
    names = module.__dict__
    if PY2:
        names["_shutdown"] = shutdown_class(names["_shutdown"])()
    if "ExceptHookArgs" in names:
        names["ExceptHookArgs"] = ExceptHookArgs(names["ExceptHookArgs"])
    elif "_format_exc" in names:
        names["_format_exc"] = FormatExc(names["_format_exc"])
    if not PY2:
        module.__class__ = threading_class(type(module))


def shutdown_class(original):
    """2.7: a module has no properties. `map(apply, [arm_at_exit, original])` is C: no traceback shows it."""
    bind = type(imports.started)

    class Shutdown(object):
        __call__ = staticmethod(bind(bind(map, __builtins__["apply"]), [arm_at_exit, original]))

        def __getattr__(self, name):
            return getattr(original, name)

        def __repr__(self):
            return repr(original)

    return Shutdown


def threading_class(base):
    """`module` with two attributes that we see read. `_shutdown` is read by C, at the end, and nobody else."""

    class Threading(base):
        @property
        def _shutdown(self):
            arm_at_exit()
            return value_of(self, "_shutdown")

        @_shutdown.setter
        def _shutdown(self, value):
            self.__dict__["_shutdown"] = value

        @_shutdown.deleter
        def _shutdown(self):
            del self.__dict__["_shutdown"]

        @property
        def ExceptHookArgs(self):  # noqa: N802  its name in threading
            value = value_of(self, "ExceptHookArgs")
            return value.original if type(value) is ExceptHookArgs else value

        @ExceptHookArgs.setter
        def ExceptHookArgs(self, value):  # noqa: N802
            self.__dict__["ExceptHookArgs"] = value

        @ExceptHookArgs.deleter
        def ExceptHookArgs(self):  # noqa: N802
            del self.__dict__["ExceptHookArgs"]

    Threading.__name__ = Threading.__qualname__ = base.__name__
    Threading.__module__ = base.__module__
    return Threading


def value_of(module, name):
    try:
        return module.__dict__[name]
    except KeyError:
        pass
    raise AttributeError("module 'threading' has no attribute %r" % name)


class ExceptHookArgs(object):
    """3.8 and newer: `threading` makes the arguments of `excepthook` by this, in the `except` of the thread."""

    def __init__(self, original):
        self.original = original

    def __call__(self, arguments):
        kind, value, tb, thread = arguments
        tell_thread_error(kind, value, tb, thread)
        return self.original(arguments)


class FormatExc(object):
    """3.7 and older: `threading` asks for the text of an uncaught exception, to print it."""

    def __init__(self, original):
        self.original = original

    def __call__(self):
        text = self.original()
        kind, value, tb = sys.exc_info()
        tell_thread_error(kind, value, tb, getframe(1).f_locals.get("self"))
        return text


def tell_thread_error(kind, value, tb, thread):
    if kind is not SystemExit:  # `threading` says nothing of it either
        channel.write(
            "thread_error",
            exception=exception(kind, value, tb),
            thread=thread_name(thread),
            ident=thread_ident(thread),
        )


shutdown = {"armed": False, "clock": None}


def arm_at_exit():
    """Called when somebody is about to call `threading._shutdown`; C has no Python frame, and is who we wait for."""
    frame = getframe()
    while frame is not None and frame.f_globals is OURS:
        frame = frame.f_back
    if frame is None and not shutdown["armed"]:
        shutdown["armed"] = True
        namespace = {"agent": OURS, "channel": channel, "clock": shutdown["clock"], "sys": sys}
        namespace["hunter_directory"] = shutdown["hunter"]
        try:
            exec(compile(shutdown["source"], "shutdown.py", "exec"), namespace)
            namespace["arm"]()
        except Exception:  # the program's end comes first
            channel.write("untraced", why="failed", error=describe(sys.exc_info()[1]))
