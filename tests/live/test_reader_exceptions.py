"""Exceptions: type, text and where they came from, against what the target prints of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from harness import target_running
from interpreters import find_interpreters
from lastwords import cpython
from lastwords.model import ExceptionValue

# Each is evaluated in the target, and its str() compared.
RAISING = [
    "1/0", "[][0]", "{}['key']", "{}[1, 'x']", "{}[(1,)]", "int('x')", "len(1)", "None.missing", "undefined",
    "open('/nonexistent/file')", "os.rename('/nonexistent/a', '/nonexistent/b')", "os.close(-1)",
    "__import__('no_such_module')", "__import__('os.path.nothing')", "eval('1 +')", "eval('(')",
    "b'\\xff'.decode('utf-8')", "b'a\\xff\\xfe'.decode('ascii')", "u'\\xe9'.encode('ascii')",
    "u'a\\u20ac\\u20ac'.encode('latin-1')", "b'\\xe2\\x82'.decode('utf-8')",
    "sys.exit(3)", "sys.exit()", "sys.exit('bye')",
    "next(iter([]))", "(_ for _ in ()).throw(StopIteration(1))", "(_ for _ in ()).throw(GeneratorExit)",
    "(_ for _ in ()).throw(KeyboardInterrupt)", "(_ for _ in ()).throw(Kept('one', 2))",
    "(_ for _ in ()).throw(ValueError(ValueError('inner')))", "(_ for _ in ()).throw(ValueError(1, u'x', None))",
    "(_ for _ in ()).throw(ValueError(None))",
    "(_ for _ in ()).throw(OSError(5, 'text'))", "(_ for _ in ()).throw(OSError('alone'))",
    "(_ for _ in ()).throw(IOError(2, 'no', 'file'))", "(_ for _ in ()).throw(ImportError('a', 'b'))",
    "(_ for _ in ()).throw(threading.ThreadError('dead'))", "json.loads('{')", "(_ for _ in ()).throw(KeyError(None))",
    "(_ for _ in ()).throw(AssertionError)", "(_ for _ in ()).throw(SyntaxError('message'))",
    "(_ for _ in ()).throw(EOFError(b'by'))", "(_ for _ in ()).throw(ValueError([1, 'x']))",
]  # fmt: skip
Ask = Callable[[str], tuple[ExceptionValue, str]]


@pytest.fixture(
    scope="module",
    params=[one for one in find_interpreters() if not one.has("free_threaded")],
    ids=lambda one: one.name,
)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    numbers = count(1)
    with target_running(request.param, "reader_evaluates.py") as target:

        def evaluate(expression: str) -> tuple[ExceptionValue, str]:
            number = next(numbers)
            target.send_line(f"raised({expression!r})")
            answer = target.wait_for(f"value {number} ").split(" ", 2)[2]
            _, address, shown = json.loads(answer)
            return cpython.read_exception(cpython.open_process(target.pid), address), shown

        yield evaluate


@pytest.mark.parametrize("expression", RAISING)
def test_the_text_is_what_str_prints(ask: Ask, expression: str) -> None:
    seen, shown = ask(expression)
    assert (seen.value, seen.error) == (shown, None)


def test_a_str_of_its_own_is_not_run_and_said(ask: Ask) -> None:
    seen, _ = ask("(_ for _ in ()).throw(Told('x'))")
    assert (seen.type, seen.value) == ("__main__.Told", None)
    assert seen.error == "Told has a __str__ of its own, which is not run"
    assert [one.repr for one in seen.args] == ["'x'"]


def test_an_argument_with_a_str_of_its_own_is_not_run(ask: Ask) -> None:
    seen, _ = ask("(_ for _ in ()).throw(ValueError(Told('x')))")
    assert seen.value is None
    assert seen.error == "Told has a __str__ of its own, which is not run"


def test_an_exception_that_contains_itself_ends(ask: Ask) -> None:
    seen, _ = ask("(lambda e: setattr(e, 'args', (e,)) or e)(ValueError()) and 1/0")
    assert seen.value is not None
    seen, _ = ask("(_ for _ in ()).throw((lambda e: setattr(e, 'args', (e,)) or e)(ValueError()))")
    assert (seen.value, seen.error) == (None, "its arguments are exceptions, 5 deep")
