"""gdb: `lw-exception` prints the exception that is pending in the selected thread, from CPython's own DWARF.

For unraisable.gdb on its own. Asks for members, not for versions; reads memory only, calls nothing. What it cannot
read it says. (`lastwords run` has a reader that needs no debug symbols.)
"""

import gdb

# Where the current thread state is, newest first: thread-local (3.12, Python/pystate.c), _PyRuntime (3.7), a global.
_THREAD_STATES = ("_Py_tss_tstate", "(PyThreadState *) _PyRuntime.gilstate.tstate_current", "_PyThreadState_Current")
_MAX_TEXT = 200
_BASE_EXC_SUBCLASS = 1 << 30  # Include/object.h


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
    """The text of a compact ASCII `str` (or a 2.7 `str`), an int's digits; else the type's name in brackets."""
    name = type_name(instance)
    if name in ("int", "long"):
        return str(int_value(instance))
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


def int_value(instance: "gdb.Value") -> int:
    """A 2.7 `int` (Include/intobject.h), or digits of 15 or 30 bits with a sign (Include/cpython/longintrepr.h)."""
    if has_type("PyIntObject") and type_name(instance) == "int":
        return int(instance.cast(gdb.lookup_type("PyIntObject").pointer())["ob_ival"])
    data = instance.cast(gdb.lookup_type("PyLongObject").pointer())
    if has_field(data, "long_value"):  # 3.12
        tag = int(data["long_value"]["lv_tag"])
        digits, size, negative = data["long_value"]["ob_digit"], tag >> 3, tag & 3 == 2
    else:
        signed = int(data["ob_base"]["ob_size"] if has_field(data, "ob_base") else data["ob_size"])
        digits, size, negative = data["ob_digit"], abs(signed), signed < 0
    bits = 15 if digits[0].type.sizeof == 2 else 30
    value = sum(int(digits[index]) << (bits * index) for index in range(min(size, _MAX_TEXT)))
    return -value if negative else value


def has_type(name: str) -> bool:
    """Whether the program's debug information has a type of this name."""
    try:
        gdb.lookup_type(name)
    except gdb.error:
        return False
    return True


def is_exception(instance: "gdb.Value") -> bool:
    """Whether it is an instance of BaseException, and not the argument of one that is yet to be made."""
    kind = instance.cast(gdb.lookup_type("PyObject").pointer())["ob_type"]
    return bool(int(kind["tp_flags"]) & _BASE_EXC_SUBCLASS)


def argument_text(exception: "gdb.Value") -> str:
    """ ": " and the first of an exception's args; nothing where it has none."""
    args = exception.cast(gdb.lookup_type("PyBaseExceptionObject").pointer())["args"]
    items = args.cast(gdb.lookup_type("PyTupleObject").pointer())
    size = items["ob_base"]["ob_size"] if has_field(items, "ob_base") else items["ob_size"]
    return ": " + string_text(items["ob_item"][0]) if int(size) else ""


def describe_pending(state: "gdb.Value") -> str:
    """Type and first argument of the pending exception."""
    if has_field(state, "current_exception"):  # 3.12
        value = state["current_exception"]
        if not value:
            return "no exception is pending"
        return type_name(value) + argument_text(value)
    kind, value = state["curexc_type"], state["curexc_value"]
    if not kind:
        return "no exception is pending"
    name = kind.cast(gdb.lookup_type("PyTypeObject").pointer())["tp_name"].string(errors="backslashreplace")
    if value and is_exception(value):
        return name + argument_text(value)
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
