"""What lastwords runs inside the program: CPython 2.7 and 3.6 to 3.15, before `__main__`, and then out of sight.

`site` imports this file under the name `sitecustomize`. It reads its orders from the environment, puts
everything back as it found it, leaves one finder at `sys.meta_path[0]`, and gives way to the program's own
`sitecustomize`. It imports nothing that is not loaded already: what the program is going to patch must not be
loaded by us. The files of `JOINED` run in this one's namespace.

Each record is one line of JSON, one `write` to the channel. Nothing of the program's is called: no `repr` or
`str` but those of exact builtin types (see `values.py`).
"""

# mypy: ignore-errors

import sys

ORDERS = "LASTWORDS_AGENT"
PY2 = sys.version_info[0] == 2
MAX_RECORDS_BYTES = 32 << 20
JOINED = ("values.py", "imports.py", "monkey.py", "threads.py")

posix = sys.modules["posix"]
getframe = sys._getframe


class Channel(object):
    """The file that the records go to. Once it is not ours any more, nothing is written."""

    def __init__(self, fd):
        self.fd = fd
        self.calls = posix.fstat, posix.write, posix.getpid  # gevent may replace those of `os`
        self.file = self.identity()
        self.left = MAX_RECORDS_BYTES
        self.serial = 0
        self.get_ident = None
        self.muted = 0

    def identity(self):
        status = self.calls[0](self.fd)
        return status.st_dev, status.st_ino

    def write(self, kind, **fields):
        """Write one record. The program may have closed our descriptor and have been given its number again."""
        if self.muted or self.left <= 0:
            return
        self.serial += 1
        fields.update(kind=kind, pid=self.calls[2](), n=self.serial, tid=self.get_ident and self.get_ident())
        if PY2:
            fields["bytes"] = True
        try:
            line = encode(fields) + "\n"
            if not PY2:
                line = line.encode("ascii")
            self.left -= len(line)
            if self.identity() == self.file:
                self.calls[1](self.fd, line)
        except (OSError, ValueError, RuntimeError):  # no room, no descriptor: the report says what is missing
            pass


class Orders(object):
    """What the launcher put into the environment: `fd=N zip=N path=absent|empty|given hunter=DIR`."""

    def __init__(self, text):
        self.fd = self.zip = -1
        self.path, self.hunter = "absent", ""
        for word in text.split(" ", 3):
            name, _, value = word.partition("=")
            setattr(self, name, int(value) if value.isdigit() else value)


def restore_environment(orders, environ):
    """Undo what the launcher did to the environment, in Python and (`os.environ` does it) in C."""
    del environ[ORDERS]
    if orders.path == "absent":
        del environ["PYTHONPATH"]
    else:
        environ["PYTHONPATH"] = original_path(orders, environ["PYTHONPATH"])


def original_path(orders, path):
    return path.partition(":")[2] if orders.path == "given" else path[:0]


def restore_posix_environ(orders):
    """`posix.environ` is what `os.environ` was made from: 3.x keeps both."""
    environ = posix.environ
    name, path = (ORDERS, "PYTHONPATH") if PY2 else (ORDERS.encode(), b"PYTHONPATH")
    if environ.pop(name, None) is None:
        return
    if orders.path == "absent":
        environ.pop(path, None)
    else:
        value = environ[path]
        colon = value.find(":" if PY2 else b":")
        environ[path] = value[colon + 1 :] if orders.path == "given" else value[:0]


def forget_our_path():
    """Leave no trace of the archive that this file came from."""
    ours = __loader__.archive
    sys.path[:] = [entry for entry in sys.path if entry != ours]
    sys.path_importer_cache.pop(ours, None)
    zipimport = sys.modules.get("zipimport")
    if zipimport is not None:
        zipimport._zip_directory_cache.pop(ours, None)


def close_on_exec(fd):
    if not PY2:
        posix.set_inheritable(fd, False)
        return
    had = "fcntl" in sys.modules  # 2.7 has no other way; a second import by the program works as the first
    import fcntl

    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    if not had:
        del sys.modules["fcntl"]


def read_ours(name):
    """The source of another file of the agent."""
    source = __loader__.get_data(name)
    return source if PY2 else source.decode("utf-8")


def start():
    """Returns True if the program's own `sitecustomize` is there and has been imported."""
    environ = sys.modules["os"].environ
    orders = Orders(environ[ORDERS])
    restore_environment(orders, environ)
    restore_posix_environ(orders)
    for name in JOINED:
        exec(compile(read_ours(name), name, "exec"), OURS)
    shutdown["source"] = read_ours("shutdown.py")
    shutdown["hunter"] = orders.hunter and orders.hunter + "/%d.%d" % sys.version_info[:2]
    forget_our_path()
    posix.close(orders.zip)
    OURS["channel"] = Channel(orders.fd)
    close_on_exec(orders.fd)
    OURS["imports"] = Imports()
    thread = sys.modules.get("_thread") or sys.modules.get("thread")
    if thread is not None:
        watch_thread(thread)
    channel.write(
        "hello",
        version=sys.version,
        hexversion=sys.hexversion,
        executable=sys.executable,
        cwd=current_directory(),
        ppid=posix.getppid(),
        hunter_at_start="hunter" in sys.modules,
        implementation=getattr(getattr(sys, "implementation", None), "name", "cpython"),
    )
    imports.already_there()
    sys.meta_path.insert(0, Finder())


def current_directory():
    """Empty where it has been removed."""
    try:
        return posix.getcwd()
    except OSError:
        return ""


def give_way():
    """Import the program's own `sitecustomize`. Raises ImportError where there is none, which `site` expects."""
    ours = OURS["keep"] = sys.modules.pop("sitecustomize")  # 2.7 clears the names of a module that nobody holds
    try:
        __import__("sitecustomize")
    except BaseException:
        sys.modules["sitecustomize"] = ours  # 3.8's zipimport wants to remove it itself
        raise


OURS = globals()
if ORDERS in sys.modules["os"].environ:
    start()
give_way()
