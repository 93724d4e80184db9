"""Functions, methods, classes, modules and code: how they print themselves, and what they are."""

from __future__ import annotations

from collections.abc import Callable

from lastwords.cpython.attributes import find_attribute
from lastwords.cpython.dicts import find_item
from lastwords.cpython.numbers import read_int
from lastwords.cpython.structs import TYPE, UNICODE, Structs
from lastwords.cpython.text import read_text
from lastwords.cpython.types import BUILTIN_MODULES, is_subtype, read_kind, type_module, type_of, type_qualname


def function_name(structs: Structs, address: int) -> str:
    """A function's `__qualname__` where the release has it, else `__name__`."""
    field = "func_qualname" if structs.has("PyFunctionObject", "func_qualname") else "func_name"
    return read_text(structs, structs.number(address, "PyFunctionObject", field))


def function_text(structs: Structs, address: int) -> str:
    """`<function A.f at 0x...>`."""
    return f"<function {function_name(structs, address)} at {address:#x}>"


def builtin_name(structs: Structs, address: int) -> str:
    """`__name__` of a function written in C."""
    method = structs.number(address, "PyCFunctionObject", "m_ml")
    return structs.c_string(structs.number(method, "PyMethodDef", "ml_name"))


def builtin_text(structs: Structs, address: int) -> str:
    """`<built-in function len>`, `<built-in method acquire of _thread.lock object at 0x...>`."""
    name = builtin_name(structs, address)
    owner = structs.number(address, "PyCFunctionObject", "m_self")
    if not owner or is_subtype(structs, type_of(structs, owner), "module"):
        return f"<built-in function {name}>"
    return f"<built-in method {name} of {type_of_text(structs, owner)} object at {owner:#x}>"


def type_of_text(structs: Structs, address: int) -> str:
    """`tp_name` of an object's type: a heap type's is without its module."""
    return type_of(structs, address).name


def class_text(structs: Structs, address: int) -> str:
    """`<class 'module.Name'>`; 2.7 says `<type 'int'>` of its own."""
    kind = read_kind(structs, address)
    word = "type" if structs.layout.formats.text == "bytes" and not kind.is_heap else "class"
    module = type_module(structs, kind)
    if module is None or module in BUILTIN_MODULES[:2]:
        return f"<{word} '{kind.name}'>"
    return f"<{word} '{module}.{type_qualname(structs, kind)}'>"


def old_class_name(structs: Structs, address: int) -> str:
    """2.7: module and name of a `class A:`."""
    name = read_text(structs, structs.number(address, "PyClassObject", "cl_name"))
    module = find_item(structs, structs.number(address, "PyClassObject", "cl_dict"), "__module__")
    return f"{read_text(structs, module) if module else '?'}.{name}"


def bound_method_text(structs: Structs, address: int, text: Callable[[int], str]) -> str:
    """`<bound method A.f of <A object at 0x...>>`; 2.7 names the class that it was found by."""
    function = structs.number(address, "PyMethodObject", "im_func")
    owner = structs.number(address, "PyMethodObject", "im_self")
    name = callable_name(structs, function) or "?"
    if structs.has("PyMethodObject", "im_class"):
        found_by = structs.number(address, "PyMethodObject", "im_class")
        name = f"{_class_name(structs, found_by)}.{name}"
        if not owner:
            return f"<unbound method {name}>"
    return f"<bound method {name} of {text(owner)}>"


def _class_name(structs: Structs, address: int) -> str:
    if not address:
        return "?"
    if type_of(structs, address).is_static("classobj"):
        return read_text(structs, structs.number(address, "PyClassObject", "cl_name"))
    return read_kind(structs, address).name


def callable_name(structs: Structs, address: int) -> str | None:
    """The name of a function, of Python or C or Cython; None of anything else."""
    kind = type_of(structs, address)
    if kind.is_static("function"):
        return function_name(structs, address)
    if kind.is_static("builtin_function_or_method"):
        return builtin_name(structs, address)
    if structs.type_flags(address) & TYPE:
        return type_qualname(structs, read_kind(structs, address))
    return None


def code_text(structs: Structs, address: int) -> str:
    """`<code object f at 0x..., file "x.py", line 3>`."""
    name = read_text(structs, structs.number(address, "PyCodeObject", "co_name"))
    file = read_text(structs, structs.number(address, "PyCodeObject", "co_filename"))
    line = structs.signed(address, "PyCodeObject", "co_firstlineno")
    return f'<code object {name} at {address:#x}, file "{file}", line {line}>'


def generator_text(structs: Structs, address: int) -> str:
    """`<generator object f at 0x...>`; coroutines and async generators say so in their type's name."""
    if structs.has("PyGenObject", "gi_qualname"):
        name = structs.number(address, "PyGenObject", "gi_qualname")
    else:
        name = structs.number(structs.number(address, "PyGenObject", "gi_code"), "PyCodeObject", "co_name")
    return f"<{type_of(structs, address).name} object {read_text(structs, name)} at {address:#x}>"


def module_text(structs: Structs, address: int) -> str:
    """`<module 'threading' from '/...'>`, `<module 'sys' (built-in)>`, as importlib's `_module_repr` does."""
    fields = structs.number(address, "PyModuleObject", "md_dict")
    if not fields:
        return "<module '?'>"
    spec = find_item(structs, fields, "__spec__")
    if spec and not type_of(structs, spec).is_static("NoneType"):
        return _spec_text(structs, spec)
    name = _string(structs, find_item(structs, fields, "__name__"))
    file = _string(structs, find_item(structs, fields, "__file__"))
    if file is not None:
        return f"<module {name!r} from {file!r}>"
    return f"<module {name!r} (built-in)>" if structs.layout.formats.text == "bytes" else f"<module {name!r}>"


def _spec_text(structs: Structs, spec: int) -> str:
    name = _string(structs, find_attribute(structs, spec, "name"))
    origin = _string(structs, find_attribute(structs, spec, "origin"))
    if origin is None:
        return f"<module {name!r}{_loader_text(structs, find_attribute(structs, spec, 'loader'))}>"
    located = find_attribute(structs, spec, "_set_fileattr")
    has_file = located is not None and bool(read_int(structs, located))
    return f"<module {name!r} from {origin!r}>" if has_file else f"<module {name!r} ({origin})>"


def _loader_text(structs: Structs, loader: int | None) -> str:
    """What a module without an origin shows: 3.6 has none for `sys`, whose loader is a class and says what it is."""
    if not loader or not structs.type_flags(loader) & TYPE:
        return ""
    name = read_kind(structs, loader).name
    return {"BuiltinImporter": " (built-in)", "FrozenImporter": " (frozen)"}.get(name, "")


def _string(structs: Structs, address: int | None) -> str | None:
    if not address:
        return None
    flags = structs.type_flags(address)
    is_text = flags & UNICODE or type_of(structs, address).is_static("str")
    return read_text(structs, address) if is_text else None
