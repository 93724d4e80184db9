"""Text of the program's values, made without running its code, and JSON of our records. Joins `sitecustomize`.

Only exact builtin types are asked for their text; of anything else the type's name and the address are told.
"""

# mypy: ignore-errors

MAX_TEXT = 2000
MAX_SHORT = 120
MAX_ITEMS = 8
if PY2:
    INTEGERS, TEXTS, SCALARS = (int, long), (str, unicode), (int, long, float, bool, str, unicode, type(None))  # noqa: F821
else:
    INTEGERS, TEXTS, SCALARS = (int,), (str,), (int, float, bool, str, bytes, complex, type(None))

type_mro = type.__dict__["__mro__"].__get__
type_name_of = type.__dict__["__name__"].__get__
type_dict = type.__dict__["__dict__"].__get__
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class of the program's
type_flags = type.__dict__["__flags__"].__get__


# ------------------------------------------------------------------------------------------------------- JSON

ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n"}


def escape(character):
    if " " <= character <= "~":
        return ESCAPES.get(character, character)
    number = ord(character)
    if number > 0xFFFF:
        number -= 0x10000
        return "\\u%04x\\u%04x" % (0xD800 | number >> 10, 0xDC00 | number & 0x3FF)
    return "\\u%04x" % number


known = {}


def quote(text):
    """A JSON string. 2.7's strings go byte by byte, and the reader knows that they are UTF-8 (see `hello`)."""
    quoted = known.get(text)
    if quoted is None:
        cut = text[:MAX_TEXT]
        if PY2 and type(cut) is not str:
            cut = cut.encode("utf-8")
        quoted = '"' + "".join([escape(one) for one in cut]) + '"'
        if len(known) < 5000:
            known[text] = quoted
    return quoted


def encode(value):
    """`value`, made of our own dicts, lists, numbers and texts, as JSON in ASCII."""
    kind = type(value)
    if kind in TEXTS:
        return quote(value)
    if value is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if kind in INTEGERS:
        return "%d" % value
    if kind is float:
        return "%.6f" % value
    if kind is dict:
        return "{" + ",".join([quote(key) + ":" + encode(value[key]) for key in value]) + "}"
    return "[" + ",".join([encode(item) for item in value]) + "]"


# ------------------------------------------------------------------------------------------------------- values


def mro(cls):
    """The class and its bases; () for what is no class, 2.7's old-style ones too."""
    return type_mro(cls) if type in type_mro(type(cls)) else ()


def type_name(cls):
    """The class's name with its module, as tracebacks show it."""
    name = type_name_of(cls)
    module = type_dict(cls).get("__module__")
    if type(module) is not str or module in ("builtins", "exceptions", "__builtin__"):
        return name
    return module + "." + name


def fields_of(value):
    """The instance's own dict, without its class's say."""
    try:
        fields = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return fields if type(fields) is dict else {}


def thread_name(thread):
    fields = fields_of(thread)
    name = fields.get("_name", fields.get("_Thread__name"))
    return name if type(name) in TEXTS else None


def thread_ident(thread):
    fields = fields_of(thread)
    ident = fields.get("_ident", fields.get("_Thread__ident"))
    return ident if type(ident) in INTEGERS else None


def short(value, depth=2):
    """At most `MAX_SHORT` characters that tell `value`."""
    kind = type(value)
    if kind in INTEGERS:
        return "%d" % value if -(1 << 128) < value < 1 << 128 else "<an int of %d bits>" % value.bit_length()
    if kind in SCALARS:
        return cut(repr(value[:MAX_SHORT] if kind in TEXTS or kind is bytes else value))
    if kind in (list, tuple, set, frozenset, dict) and depth:
        return cut(items_text(value, kind, depth - 1))
    return opaque(value, kind)


def cut(text):
    return text if len(text) <= MAX_SHORT else text[: MAX_SHORT - 3] + "..."


def items_text(value, kind, depth):
    try:
        items = [item for item, _ in zip(value, range(MAX_ITEMS + 1))]
    except RuntimeError:  # another thread changes it right now
        return "<%s of %d>" % (kind.__name__, len(value))
    more = [", ..."] if len(items) > MAX_ITEMS else []
    del items[MAX_ITEMS:]
    if kind is dict:
        texts = [short(key, depth) + ": " + short(dict.get(value, key), depth) for key in items if type(key) in SCALARS]
    else:
        texts = [short(item, depth) for item in items]
    inner = ", ".join(texts) + "".join(more)
    return {list: "[%s]", tuple: "(%s)"}.get(kind, "{%s}") % inner


FUNCTIONS = type(encode), type(len)
LOCKS = ("lock", "LockType", "RLock", "_ThreadHandle")


def opaque(value, kind):
    """What can be said of an object of a class that may have code of its own."""
    if kind in FUNCTIONS:
        return "<function %s>" % value.__name__
    name = thread_name(value) if "Thread" in [one.__name__ for one in mro(kind)] else None
    if name is not None:
        return cut("<%s %s %s>" % (type_name(kind), short(name), short(thread_ident(value))))
    if not type_flags(kind) & HEAP_TYPE and type_name_of(kind) in LOCKS:
        return cut(repr(value))
    if type_dict(kind).get("__module__") in ("_thread", "thread") and type_name_of(kind) in LOCKS:
        return cut(repr(value))  # a heap type since 3.10, but C's own
    return cut("<%s at 0x%x>" % (type_name(kind), id(value)))


# --------------------------------------------------------------------------------------------------- exceptions


def is_exception(value):
    """`isinstance` would ask the value for its `__class__`."""
    return BaseException in mro(type(value))


def base_exception(value, name):
    """A field of `BaseException`, past whatever the class made of the name."""
    field = BaseException.__dict__.get(name)
    return field.__get__(value) if field is not None else None


def describe(value):
    """`TypeName: text` of an exception."""
    text = exception_text(value)
    return cut(type_name(type(value)) + (": " + text if text else ""))


def exception_text(value):
    """What `str()` gives, where that runs no code of the program; else the arguments' short texts."""
    if not is_exception(value):
        return short(value)
    arguments = base_exception(value, "args")
    if len(arguments) == 1 and type(arguments[0]) in TEXTS and KeyError not in mro(type(value)) and is_builtin(value):
        return arguments[0][:MAX_TEXT]
    if is_builtin(value) and all([type(one) in SCALARS for one in arguments]) and plain_fields(value):
        try:
            return str(value)[:MAX_TEXT]
        except (ValueError, RuntimeError):  # 2.7: text outside ASCII
            pass
    return ", ".join([short(one) for one in arguments])[:MAX_TEXT]


def is_builtin(value):
    """Whether the `__str__` that would be called is C's own."""
    for cls in mro(type(value)):
        if "__str__" in type_dict(cls):
            return not type_flags(cls) & HEAP_TYPE
    return False


def plain_fields(value):
    """Whether the fields that C's `__str__` prints beside the arguments are plain as well."""
    names = ("filename", "filename2", "msg", "errno", "strerror", "print_file_and_line")
    fields = []
    for cls in mro(type(value)):
        if not type_flags(cls) & HEAP_TYPE:
            members = type_dict(cls)
            fields.extend([members[name] for name in names if name in members])
    return all([type(field.__get__(value)) in SCALARS for field in fields])


def exception(kind, value, tb, depth=4):
    """An exception, its traceback (innermost first), and what it came out of."""
    if not is_exception(value):
        return {"type": type_name(kind) if type(kind) is type else None, "value": short(value), "tb": exceptions_of(tb)}
    told = {
        "type": type_name(type(value)),
        "value": exception_text(value),
        "args": [[type_name(type(one)), short(one)] for one in base_exception(value, "args")[:MAX_ITEMS]],
        "tb": exceptions_of(tb),
    }
    cause = base_exception(value, "__cause__")
    context = base_exception(value, "__context__")
    if depth and cause is not None:
        told["cause"] = exception(type(cause), cause, base_exception(cause, "__traceback__"), depth - 1)
    elif depth and context is not None and not base_exception(value, "__suppress_context__"):
        told["context"] = exception(type(context), context, base_exception(context, "__traceback__"), depth - 1)
    return told
