"""Reading CPython from outside: what the interpreter of a process was doing at one moment. No code runs in it.

`open_process` finds the interpreter; the `read_*` functions take it, or it and an address, and return plain data of
model.py. Where memory is damaged or missing, stacks, values, exceptions and the threading state say so in their own
fields; what returns a bare number or name raises ReadError.
"""

from lastwords.capture.memory import ReadError
from lastwords.cpython.exception import (
    read_exception,
    read_handled_exception,
    read_last_exception,
    read_pending_exception,
)
from lastwords.cpython.exception_text import read_exception_text
from lastwords.cpython.finalize import read_phase
from lastwords.cpython.frame import read_stack
from lastwords.cpython.interpreter import Interpreter, open_process
from lastwords.cpython.modules import (
    find_global,
    module_globals,
    read_attribute,
    read_builtin_function_address,
    read_module,
    read_modules,
)
from lastwords.cpython.threading_state import read_threading
from lastwords.cpython.values import read_value

__all__ = [
    "Interpreter",
    "ReadError",
    "find_global",
    "module_globals",
    "open_process",
    "read_attribute",
    "read_builtin_function_address",
    "read_exception",
    "read_exception_text",
    "read_handled_exception",
    "read_last_exception",
    "read_module",
    "read_modules",
    "read_pending_exception",
    "read_phase",
    "read_stack",
    "read_threading",
    "read_value",
]
