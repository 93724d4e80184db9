"""Which test pytest runs, and in which one a thread was started: read from the target, like all else.

pytest keeps the running test in `os.environ` (PYTEST_CURRENT_TEST, `_pytest/runner.py`); our own plugin keeps, under
the idents of threads that are still there, the tests that left them.
"""

from __future__ import annotations

from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_attribute
from lastwords.cpython.dicts import read_items
from lastwords.cpython.interpreter import Interpreter
from lastwords.cpython.modules import find_global, read_module
from lastwords.cpython.numbers import read_int
from lastwords.cpython.text import read_bytes_prefix, read_text, writable

VARIABLE = b"PYTEST_CURRENT_TEST"
PLUGIN = "lastwords.pytest_plugin"
LONGEST = 1000  # bytes of a test's name: parameters make it long
MOST_THREADS = 10_000


def read_current_test(interp: Interpreter) -> str | None:
    """`tests/test_x.py::test_y (call)`; None between tests, and where pytest does not run. Raises ReadError."""
    if read_module(interp, "_pytest") is None:
        return None
    environ = find_global(interp, "os", "environ")
    for name in ("_data", "data") if environ else ():  # class _Environ of Lib/os.py; 2.7: that of Lib/UserDict.py
        table = find_attribute(interp, environ or 0, name)
        if table is not None:
            return _find_variable(interp, table)
    return None


def _find_variable(interp: Interpreter, table: int) -> str | None:
    for key, value in read_items(interp, table):
        if read_bytes_prefix(interp, key, len(VARIABLE)) == (VARIABLE, True):
            text, is_whole = read_bytes_prefix(interp, value, LONGEST)
            return writable(text.decode("utf-8", "backslashreplace")) + ("" if is_whole else "...")
    return None


def read_starting_tests(interp: Interpreter) -> dict[int, str]:
    """By the idents of threads. Empty without our plugin. Raises ReadError."""
    table = find_global(interp, PLUGIN, "started")
    return dict(_read_tests(interp, table)) if table else {}


def _read_tests(interp: Interpreter, table: int) -> list[tuple[int, str]]:
    found = []
    for ident, test in read_items(interp, table)[:MOST_THREADS]:
        try:
            found.append((read_int(interp, ident), read_text(interp, test, LONGEST)))
        except ReadError:  # one that is longer, or changes just now
            continue
    return found
