"""Exceptions: type, text and where they came from, against what the target prints of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from evaluating import EVALUATING, evaluating
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


@pytest.fixture(scope="module", params=EVALUATING, ids=lambda one: one.name)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    with evaluating(request.param) as evaluator:

        def read(expression: str) -> tuple[ExceptionValue, str]:
            address, shown = evaluator.evaluate(f"raised({expression!r})")
            return cpython.read_exception(cpython.open_process(evaluator.pid), address), shown

        yield read


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
