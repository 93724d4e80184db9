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
            tell_greenlet_error(frame.f_locals)
        return False


def tell_greenlet_error(arguments):
    kind, value, tb = arguments.get("type"), arguments.get("value"), arguments.get("tb")
    names = [one.__name__ for one in mro(kind)] if isinstance(kind, type) else []
    if "GreenletExit" in names or "SystemExit" in names:
        return
    context = arguments.get("context")
    channel.write(
        "greenlet_error",
        exception=exception(kind, value, tb),
        greenlet=type_name(type(context)) if context is not None else None,
        address=id(context) if context is not None else None,
    )


def watch_hub(module):
    hub = module.Hub
    hub.NOT_ERROR = (NotErrorType("NotError", (object,), {}),) + tuple(hub.NOT_ERROR)
    tell_versions()
