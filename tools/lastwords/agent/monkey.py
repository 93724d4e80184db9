"""What gevent patches, and the exceptions that its hub is given. Joins `sitecustomize`."""

# mypy: ignore-errors


class Saved(dict):
    """`gevent.monkey.saved`: gevent puts each attribute there before it replaces it."""

    def setdefault(self, name, default=None):
        if name not in self and type(default) is dict and not name.startswith("_gevent_saved"):
            default = SavedModule(name, default)
        return dict.setdefault(self, name, default)


class SavedModule(dict):
    """The attributes of one module that gevent replaced."""

    def __init__(self, name, attributes):
        dict.__init__(self, attributes)
        self.name = name
        self.told = None

    def setdefault(self, attribute, value=None):
        if attribute not in self:
            self.tell(attribute, getframe(1))
        return dict.setdefault(self, attribute, value)

    def __setitem__(self, attribute, value):
        if attribute not in self:
            self.tell(attribute, getframe(1))
        dict.__setitem__(self, attribute, value)

    def tell(self, attribute, frame):
        at = chain(frame)
        outside = [one for one in at if not (one[4] or "").startswith("gevent")]
        told, self.told = self.told, outside
        imports.patched.setdefault(self.name, len(imports.seen))
        channel.write(
            "patch",
            module=self.name,
            attribute=attribute,
            loaded=len(imports.seen),
            at=None if told == outside else at,
        )


def watch_patches(module):
    saved = module.__dict__.get("saved")
    if type(saved) is dict:
        module.saved = Saved(saved)
    tell_versions()


def tell_versions():
    versions = {}
    for name in ("gevent", "greenlet"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if type(version) is str:
            versions[name] = version
    channel.write("libraries", versions=versions)


class NotErrorType(type):
    """`issubclass(type, Hub.NOT_ERROR)` in `Hub.handle_error` asks us first; we look, and say no."""

    def __subclasscheck__(cls, kind):
        frame = getframe(1)
        if frame.f_code.co_name == "handle_error":
            tell_hub_error(frame)
        return False


def tell_hub_error(frame):
    """Its `context` is the greenlet that ended, or what the hub has called: a callback, a watcher, a link."""
    arguments = frame.f_locals
    kind, value, tb = arguments.get("type"), arguments.get("value"), arguments.get("tb")
    names = [one.__name__ for one in mro(kind)] if isinstance(kind, type) else []
    if "GreenletExit" in names or "SystemExit" in names:
        return
    context = arguments.get("context")
    is_greenlet = greenlet_class() in mro(type(context))
    channel.write(
        "greenlet_error" if is_greenlet else "hub_error",
        exception=exception(kind, value, tb),
        subject=type_name(type(context)) if context is not None else None,
        address=id(context) if context is not None else None,
        at=None if is_greenlet else hub_stack(frame),
    )


def greenlet_class():
    module = sys.modules.get("greenlet")
    return module.__dict__.get("greenlet") if module is not None else None


def hub_stack(frame):
    """The frames of the hub, then those of its parents: where the one stands that has given way to it."""
    frames = chain(frame.f_back)
    cls, module = greenlet_class(), sys.modules.get("greenlet")
    one = module.getcurrent() if cls is not None and may_walk(module) else None
    while one is not None and len(frames) < MAX_FRAMES:
        one = cls.__dict__["parent"].__get__(one)
        frames += chain(cls.__dict__["gr_frame"].__get__(one)) if one is not None else []
    return frames[:MAX_FRAMES]


def may_walk(module):
    """On 3.12 and newer, frames of suspended greenlets may be followed outwards since greenlet 3.0.3
    (python-greenlet/greenlet#393); before, that could crash (python/cpython#113037)."""
    version = module.__dict__.get("__version__")
    if sys.version_info < (3, 12) or type(version) is not str:
        return sys.version_info < (3, 12)
    return [int(one) if one.isdigit() else 0 for one in version.split(".")[:3]] >= [3, 0, 3]


def watch_hub(module):
    hub = module.Hub
    hub.NOT_ERROR = (NotErrorType("NotError", (object,), {}),) + tuple(hub.NOT_ERROR)
    tell_versions()
