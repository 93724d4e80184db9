"""gdb: `lw-exception` prints the exception that is pending in the selected thread, from CPython's own DWARF.

For unraisable.gdb on its own. Asks for members, not for versions; reads memory only, calls nothing. What it cannot
read it says. (`lastwords run` has a reader that needs no debug symbols.)
"""

import gdb

# Where the current thread state is, newest first: thread-local (3.12, Python/pystate.c), _PyRuntime (3.7), a global.
_THREAD_STATES = ("_Py_tss_tstate", "(PyThreadState *) _PyRuntime.gilstate.tstate_current", "_PyThreadState_Current")
_MAX_TEXT = 200


def find_thread_state() -> "gdb.Value | None":
    """`PyThreadState *` of the running thread, or None."""
    for expression in _THREAD_STATES:
        try:
            state = gdb.parse_and_eval(expression).cast(gdb.lookup_type("PyThreadState").pointer())
        except gdb.error:
            continue
        if state:
            return state
    return None


def has_field(value: "gdb.Value", name: str) -> bool:
    """Whether the struct that `value` points to has a member `name`."""
    return any(field.name == name for field in value.type.target().strip_typedefs().fields())


def type_name(instance: "gdb.Value") -> str:
    """`tp_name` of a `PyObject *`."""
    kind = instance.cast(gdb.lookup_type("PyObject").pointer())["ob_type"]
    return kind["tp_name"].string(errors="backslashreplace", length=_MAX_TEXT).split("\0")[0]


def string_text(instance: "gdb.Value") -> str:
    """The text of a compact ASCII `str` (or a 2.7 `str`); else the type's name in brackets."""
    name = type_name(instance)
    if name == "str":
        try:
            data = instance.cast(gdb.lookup_type("PyASCIIObject").pointer())
            size = min(int(data["length"]), _MAX_TEXT)
            start = (data + 1).cast(gdb.lookup_type("char").pointer())
        except gdb.error:
            data = instance.cast(gdb.lookup_type("PyStringObject").pointer())
            size, start = min(int(data["ob_size"]), _MAX_TEXT), data["ob_sval"]
        return start.string(errors="backslashreplace", length=size)
    return "<" + name + ">"


def describe_pending(state: "gdb.Value") -> str:
    """Type and first argument of the pending exception."""
    if has_field(state, "current_exception"):  # 3.12
        value = state["current_exception"]
        if not value:
            return "no exception is pending"
        args = value.cast(gdb.lookup_type("PyBaseExceptionObject").pointer())["args"]
        items = args.cast(gdb.lookup_type("PyTupleObject").pointer())
        size = int(items["ob_base"]["ob_size"])
        return type_name(value) + (": " + string_text(items["ob_item"][0]) if size else "")
    kind, value = state["curexc_type"], state["curexc_value"]
    if not kind:
        return "no exception is pending"
    name = kind.cast(gdb.lookup_type("PyTypeObject").pointer())["tp_name"].string(errors="backslashreplace")
    return name + (": " + string_text(value) if value else "")


class Exception_(gdb.Command):
    """Print the pending exception of the selected thread."""

    def __init__(self) -> None:
        super().__init__("lw-exception", gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        """gdb calls this."""
        try:
            state = find_thread_state()
            text = describe_pending(state) if state else "the thread state was not found"
        except gdb.error as error:
            text = "not readable here: {} (debug symbols of CPython?)".format(error)
        gdb.write("exception: " + text + "\n")


Exception_()
