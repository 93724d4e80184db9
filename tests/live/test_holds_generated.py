"""Generated nests of `with`, `try`, loops and functions: what was found to be held is what the generator knows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from harness import Target, target_running
from holds_ledger import check_truth, find_missed, find_uncertain, read_holds, read_ledger
from interpreters import Interpreter as Python

THREADS = 16
EXAMPLES = 3
DEPTH = 7
INDENT = "    "
# Each form is lines with the next form at `{}`, and the locks that it holds there: `{n}` is a number of its own.
HOLDING = {
    "global": ("with n{n}:", "  {}"),
    "attribute": ("with all_locks.n{n} as taken:", "  {}"),
    "local": ("held = n{n}", "with held:", "  {}"),
    "recursive": ("with r{n}:", "  with r{n}:", "    {}"),
    "condition": ("with c{n}:", "  {}"),
    "taken_before": ("with n{n}:", "  unused = 1", "with n{n}:", "  {}"),
    "in_try": ("try:", "  with n{n}:", "    {}", "finally:", "  unused = 1"),
    "last_round": ("for each in range(3):", "  with n{n}:", "    if each < 2:", "      continue", "    {}"),
    "in_handler": ("with n{n}:", "  try:", "    {{}}['a key']", "  except KeyError:", "    {}"),
    "in_finally": ("with n{n}:", "  try:", "    raise ValueError", "  finally:", "    {}"),
    "returned": ("def f{n}():", "  with n{n}:", "    with n{n}_: return 1", "f{n}()", "with n{n}:", "  {}"),
    "generator": ("def f{n}():", "  with n{n}:", "    {}", "    yield 1", "list(f{n}())"),
    "leaving": ("def f{n}():", "  {}", "with n{n}:", "  with Leaving(f{n}):", "    unused = 1"),
    "leaving_raised": ("def f{n}():", "  {}", "with n{n}:", "  with Leaving(f{n}):", "    raise ValueError"),
}
FREE = {
    "after": ("with n{n}:", "  unused = 1", "if True:", "  {}"),
    "two_after": ("with n{n}, n{n}_ as held:", "  unused = 1", "if True:", "  {}"),
    "function": ("def f{n}(first, *rest):", "  {}", "f{n}(n{n}, r{n})"),
    "comprehension": ("def f{n}(first):", "  {}", "[[f{n}(y) for y in 'a'] for x in 'b']"),
    "class": ("class F{n}(object):", "  {}"),
    "handler": ("try:", "  with n{n}:", "    raise ValueError", "except ValueError:", "  {}"),
    "given_back": ("with n{n}:", "  n{n}.release()", "  {}"),
    "loop": ("while True:", "  with n{n}:", "    unused = 1", "  for each in 'ab':", "    {}", "  break"),
}
FORMS = {**HOLDING, **FREE}
nests = st.lists(
    st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=DEPTH), min_size=THREADS, max_size=THREADS
)


def render(nest: list[str], numbers: Iterator[int], held: list[int]) -> list[str]:
    """The lines of a nest of forms, the outermost first; `held` gets the numbers of the locks that it takes."""
    if not nest:
        return [f"say({held})", "block()"]
    number = next(numbers)
    if nest[0] in HOLDING:
        held.append(number)
    inner = render(nest[1:], numbers, held)
    lines: list[str] = []
    for line in FORMS[nest[0]]:
        indent = INDENT * ((len(line) - len(line.lstrip())) // 2)
        texts = inner if line.strip() == "{}" else [line.strip().format(n=number)]
        lines += [indent + text for text in texts]
    return lines


def write_program(path: Path, nests: list[list[str]]) -> None:
    """Locks first, by every name that a form may use; then one function for each nest."""
    numbers = count(1)
    functions: list[str] = []
    kinds: dict[int, str] = {}
    for index, nest in enumerate(nests):
        first = next(numbers)
        inner = render(nest, numbers, [])
        for offset, form in enumerate(nest):
            kinds[first + 1 + offset] = form
        functions += [f"def thread{index}():", *(INDENT + line for line in inner)]
    makes = {"recursive": ("r", "threading.RLock"), "condition": ("c", "threading.Condition")}
    lines = ["all_locks = Locks()"]
    for number, form in kinds.items():
        letter, make = makes.get(form, ("n", "threading.Lock"))
        lines.append(f"{letter}{number} = all_locks.{letter}{number} = lock({number}, {make})")
        lines += [f"n{number} = n{number}_ = None"] * (letter != "n") + [f"r{number} = None"] * (letter != "r")
        lines += [f"n{number}_ = threading.Lock()"]
    runs = ", ".join(f"thread{index}" for index in range(len(nests)))
    path.write_text("\n".join([*lines, *functions, f"run([{runs}])", ""]))


def test_every_nest_is_read(interpreter: Python, tmp_path: Path) -> None:
    if interpreter.has("free_threaded"):
        pytest.skip("free-threaded builds are refused")
    counts = [0, 0]

    @seed(3)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    @given(nests)
    def run(made: list[list[str]]) -> None:
        write_program(tmp_path / "generated.py", made)
        with target_running(interpreter, "holds_generated.py", str(tmp_path / "generated.py")) as target:
            held, uncertain = check(target)
        counts[0] += held
        counts[1] += uncertain

    run()
    print(f"{counts[0]} held, {counts[1]} of them likely")
    assert counts[0] > THREADS


def check(target: Target) -> tuple[int, int]:
    """How many are held, and how many of them were found as likely only."""
    ledger = read_ledger(target)
    holds = read_holds(target, ledger)
    check_truth(holds, ledger)
    assert find_missed(holds, ledger.by_with, ledger) == []
    assert {(hold.thread.ident, hold.lock) for hold in holds} <= ledger.held
    return len(ledger.held), len(find_uncertain(holds, ledger))
