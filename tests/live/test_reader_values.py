"""Values: what `repr()` prints inside the target is what is read from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluating import EVALUATING, evaluating
from lastwords import cpython
from lastwords.model import Value

# What the unraisable messages and tracebacks of real programs name.
EXPRESSIONS = [
    "len", "[].append", "os.getpid", "sys.exc_info", "threading.Lock().acquire",
    "threading.Thread", "int", "type", "ValueError", "threading.Thread.run", "threading.Thread.__init__",
    "threading", "os", "sys", "json.decoder", "__import__('__main__')",
    "lambda: 0", "(lambda: 0).__code__", "json.dumps", "json.JSONEncoder().encode",
    "(i for i in ())", "(lambda: (yield))()", "None", "Ellipsis", "NotImplemented", "True",
    "ValueError('x')", "ValueError('x', 2)", "KeyError()", "OSError(2, 'No')",
    "set()", "frozenset()", "set([1])", "frozenset([1])", "bytearray(b'x\\xff')", "bytearray()",
    "type('Mine', (), {})", "type('Mine', (object,), {'__module__': 'm'})()", "object()",
    "type('Own', (int,), {})(3)", "type('Own', (str,), {})('x')", "type('Own', (dict,), {})(a=1)",
    "(lambda s: [s.add(i) for i in range(9)] and [s.discard(i) for i in range(1, 9)] and s)(set())",
    "(lambda d: [d.pop(i) for i in range(1, 9)] and d)(dict.fromkeys(range(9)))",
    "(lambda x: x.append(x) or x)([])", "(lambda x: x.update(a=x) or x)({})",
    "vars(type('A', (), {'__init__': lambda self: vars(self).update(b=1, a=2)})())",
    "10 ** 50", "-(2 ** 62)", "2 ** 60 - 1", "1e22", "1e-7", "float('nan')", "-0.0", "1j", "range(3)", "range(1, 9, 2)",
]  # fmt: skip
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**130), 2**130), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20), st.binary(max_size=20),
)  # fmt: skip
HASHABLE = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(HASHABLE, inner, max_size=5), st.frozensets(PLAIN, max_size=5)
    ),
    max_leaves=12,
)
Ask = Callable[[str], tuple[Value, str]]


@pytest.fixture(scope="module", params=EVALUATING, ids=lambda one: one.name)
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """The value as it is read from outside, and what it prints inside."""
    with evaluating(request.param) as evaluator:

        def read(line: str) -> tuple[Value, str]:
            address, shown = evaluator.evaluate(line)
            return cpython.read_value(cpython.open_process(evaluator.pid), address), shown

        yield read


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_objects_print_as_they_print_themselves(ask: Ask, expression: str) -> None:
    seen, shown = ask(expression)
    assert (seen.repr, seen.truncated, seen.missing) == (shown, False, None)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(value=VALUES)
def test_any_plain_value_prints_as_it_does_inside(ask: Ask, value: object) -> None:
    seen, shown = ask(ascii(value))
    assert (seen.truncated, seen.missing) == (False, None)
    assert seen.repr is not None
    assert escaped(seen.repr) == escaped(shown)


def escaped(text: str) -> str:
    """Which characters are printable depends on the release's Unicode: all others than ASCII as escapes."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def test_large_values_are_cut_and_say_so(ask: Ask) -> None:
    large = "'x' * 100000", "list(range(100000))", "dict.fromkeys(range(100000))", "2 ** 1000000", "10 ** 5000"
    for expression in large:
        seen, _ = ask(expression)
        assert seen.truncated, expression
        assert seen.repr is not None
        assert len(seen.repr) < 4000


def test_deep_values_are_cut(ask: Ask) -> None:
    seen, _ = ask("(lambda x: [x.__setitem__(slice(None), [list(x)]) for i in range(50)] and x)([])")
    assert (seen.repr, seen.truncated) == ("[" * 21 + "..." + "]" * 21, True)


def test_an_instance_with_its_own_repr_is_not_run(ask: Ask) -> None:
    seen, _ = ask("type('Mine', (object,), {'__repr__': lambda self: 'run!', '__module__': 'm'})()")
    assert seen.repr == f"<m.Mine object at {seen.address:#x}>"
