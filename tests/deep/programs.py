"""Generated programs: what Hypothesis draws, and the source text that it becomes for one release."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hypothesis import strategies as st

from deep.templates import CALLS, MADE, STANDS, Template

Version = tuple[int, ...]
RECURSIONS = ("recursion", "mutual_recursion")
LOCKING = ("with_lock", "with_lock_as_local", "with_condition")  # their {lock} is held by a `with`
CONTENDING = ("contended", "contended_with")

# What local variables hold, as source.
VALUES = (
    "0", "1", "-1", "255", "257", "2**30 - 1", "2**30", "-2**31", "2**60", "2**64 + 1", "-10**30", "10**400", "True",
    "False", "None", "Ellipsis", "0.0", "-0.0", "1.5", "1e308", "-1e-320", "float('inf')", "float('nan')", "1j",
    "(-2 + 0.5j)", "''", "'a'", "'it\\'s'", "'\"'", "'\\n\\t\\x00\\x7f'", "'x' * 47", "'x' * 5000", "u'\\xe4\\xf6'",
    "u'\\u20ac\\u4e2d'", "u'\\U0001f600'", "u'\\ud800'", "u'\\xe4' * 3000", "b''", "b'bytes\\x00\\xff'", "b'y' * 4000",
    "bytearray(b'abc')", "bytearray()", "bytearray(b'z' * 3000)", "()", "(1,)", "(1, 'two', None)", "[]",
    "[1, [2, [3]]]", "list(range(99))", "list(range(101))", "['long' * 100] * 50", "{}", "{'a': 1, 2: (3,)}",
    "{1.5: {}, None: []}", "dict.fromkeys(range(60))", "dict.fromkeys(range(150), 'v')", "dict(a=1, b=[2])",
    "set()", "{1}", "set(range(20))", "set(range(500)) - set(range(3, 490))", "frozenset()", "frozenset([1])",
    "frozenset('abc')", "[[]] * 3", "((((((()))))))", "{(1, 2): [{'deep': {'deeper': set()}}]}",
    "[None, True, 1.0, 'x', b'y']", "object()", "Call(None)", "len", "lambda: 1", "range(3)",
    "range(1, 10, 2)", "ValueError('an argument')", "os",
    "[0] * 20000", "'\\\\'", "u'mixed \\xe4 and \\u0444 and \\U0001f40d'", "-0x7fffffffffffffff", "1 << 62",
)  # fmt: skip
LAYOUTS = (
    "{}",
    "{}",
    "[{}, 1][0]",
    "(\n        {}\n    )",
    "[\n 0,\n\n        {},\n    2,\n][1]",
    "[2, 3, ({})][2]",
    "(\n\n{})",
)
NAMES = ("f", "große", "функция", "函数", "x" * 60)
FILES = ("a file.py", "<generated>", "grün/дом.py", "/nowhere/" + "long" * 40 + ".py", "{0}.py", "")
GAPS = (0, 0, 0, 1, 3, 126, 127, 128, 130, 300, 70_000)
DEPTHS = (0, 1, 3, 20, 150, 900)


@dataclass(frozen=True)
class Step:
    """One function that calls the next."""

    call: str
    values: tuple[str, ...] = ()
    layout: int = 0
    gap: int = 0
    name: int = 0
    file: int = 0
    depth: int = 0
    drops: bool = False


@dataclass(frozen=True)
class Work:
    """What one thread does; the last of `works` is the main thread's."""

    steps: tuple[Step, ...]
    stand: str
    daemon: bool = False
    kind: str = "Thread"
    name: str = ""


@dataclass(frozen=True)
class Program:
    """Threads start one after another, each when the one before stands; then the main thread goes to its own stand."""

    works: tuple[Work, ...]
    file: int = 0
    gap: int = 0


STEPS = st.builds(
    Step,
    call=st.sampled_from([*sorted(CALLS), *LOCKING, *LOCKING, *LOCKING]),
    values=st.lists(st.sampled_from(VALUES), max_size=4).map(tuple),
    layout=st.integers(0, len(LAYOUTS) - 1),
    gap=st.sampled_from(GAPS[:-1]),
    name=st.integers(0, len(NAMES) - 1),
    file=st.integers(0, len(FILES) - 1),
    depth=st.sampled_from(DEPTHS),
    drops=st.booleans(),
)
THREADS = st.builds(
    Work,
    steps=st.lists(STEPS, min_size=1, max_size=5).map(tuple),
    stand=st.sampled_from([*sorted(STANDS), *CONTENDING, *CONTENDING]),
    daemon=st.booleans(),
    kind=st.sampled_from(["Thread", "Worker"]),
    name=st.sampled_from(["", "a name", "größer als ASCII", "面", "new\nline", "N" * 200]),
)
MAIN = st.builds(
    Work,
    steps=st.lists(STEPS, min_size=1, max_size=4).map(tuple),
    stand=st.sampled_from(sorted(name for name, stand in STANDS.items() if not stand.needs)),
)
PROGRAMS = st.builds(
    lambda threads, main, file, gap: Program((*threads, main), file, gap),
    st.lists(THREADS, max_size=4),
    MAIN,
    st.integers(0, len(FILES) - 1),
    st.sampled_from(GAPS),
)


@dataclass(frozen=True)
class Rendered:
    """A program for one release. `features` are the keys of CALLS and STANDS that are really in it."""

    source: str
    file: str
    features: tuple[str, ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256((self.file + self.source).encode("utf-8", "surrogatepass")).hexdigest()


class Renderer:
    """Writes one program for a release; what this lacks becomes the plainest of its kind."""

    def __init__(self, program: Program, version: Version, capabilities: frozenset[str]) -> None:
        self.program = program
        self.version = version
        self.capabilities = capabilities
        self.is_old = version < (3, 0)
        self.features: list[str] = []
        self.held: list[str] = []
        self.deep = False  # one recursion per thread

    def render(self) -> Rendered:
        """The program's text."""
        text = "# -*- coding: utf-8 -*-\n" + "\n" * self.program.gap
        starts: list[str] = []
        for number, work in enumerate(self.program.works[:-1]):
            first, lines = self._render_work(number, work)
            text += lines
            named = work.name and (work.name if not self.is_old else ascii(work.name)[1:-1])
            starts.append(
                f"    thread_{number} = start({first}, {named!r} or 'thread-{number}', {work.daemon}, {work.kind!r})\n"
            )
        first, lines = self._render_work(len(starts), self.program.works[-1])
        names = "".join(f"    global thread_{number}\n" for number in range(len(starts)))
        main = f"def main():\n{names}{''.join(starts)}    {first}()\n"
        return Rendered(text + lines + main, self._file(self.program.file), tuple(self.features))

    def _render_work(self, number: int, work: Work) -> tuple[str, str]:
        """(the name of its first function, the definitions of all)."""
        self.deep = False
        names = [self._name(step, number, at) for at, step in enumerate(work.steps)]
        stand = f"stand_{number}"
        text = self._render_stand(stand, number, work)
        for at, step in reversed(list(enumerate(work.steps))):
            text += self._render_step(step, names[at], [*names, stand][at + 1], f"lock_{number}_{at}")
        return names[0], text

    def _name(self, step: Step, number: int, at: int) -> str:
        return f"{'f' if self.is_old else NAMES[step.name]}{number}_{at}"

    def _file(self, number: int) -> str:
        name = FILES[number].replace("{0}", str(number))
        return name.encode("ascii", "ignore").decode() if self.is_old else name

    def _render_step(self, step: Step, name: str, following: str, lock: str) -> str:
        call = self._choose_call(step)
        self.features.append(call)
        depth = step.depth
        if call in RECURSIONS:
            depth, self.deep = (min(depth, 20), True) if self.deep else (depth, True)
            depth = depth // 2 if call == "mutual_recursion" else depth
        if call in LOCKING:
            self.held.append(lock)
        simple = f"{following}()"
        lines = CALLS[call].text.splitlines(keepends=True)
        text = "".join(self._expand(line, step) for line in lines)
        return f"{lock} = threading.Lock()\n" + text.format(
            name=name, call=LAYOUTS[step.layout].format(simple), simple=simple, lock=lock, depth=depth,
            gap="\n" * step.gap, far=step.gap * 300, file=self._file(step.file).replace("/", "_"),
        )  # fmt: skip

    def _choose_call(self, step: Step) -> str:
        if CALLS[step.call].since > self.version[:2]:
            return "plain"
        return step.call

    def _expand(self, line: str, step: Step) -> str:
        """`{locals}` as assignments; braces in values are doubled, because the text is formatted afterwards."""
        if line.strip() != "{locals}":
            return line
        indent = line[: len(line) - len(line.lstrip())]
        variable = "v" if self.is_old else ("v", "größe", "ж")[step.name % 3]
        made = [f"{indent}{variable}{at} = {value}\n" for at, value in enumerate(step.values)]
        if step.drops and made:
            made.append(f"{indent}del {variable}0\n")
        return "".join(made or [f"{indent}pass\n"]).replace("{", "{{").replace("}", "}}")

    def _render_stand(self, name: str, number: int, work: Work) -> str:
        key = self._choose_stand(number, work)
        self.features.append("stand:" + key)
        stand = STANDS[key]
        body = stand.text.format(
            thing=f"thing_{number}", held=self.held[-1] if self.held else "", thread=f"thread_{number - 1}"
        )
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        return f"thing_{number} = {MADE[stand.made]}\ndef {name}():\n{lines}"

    def _choose_stand(self, number: int, work: Work) -> str:
        stand = STANDS[work.stand]
        return work.stand if stand.since <= self.version[:2] and self._has(stand, number, work) else "lock"

    def _has(self, stand: Template, number: int, work: Work) -> bool:
        there = {
            "": True, "lock": bool(self.held), "thread": number > 0, "daemon": work.daemon,
            "interpreters": "interpreters" in self.capabilities,
        }  # fmt: skip
        return there[stand.needs]


def render(program: Program, version: Version, capabilities: frozenset[str] = frozenset()) -> Rendered:
    """The program's source for a release, its features, its hash."""
    return Renderer(program, version, capabilities).render()


def features_of(version: Version, capabilities: frozenset[str]) -> set[str]:
    """All that programs for a release can have."""
    calls = {name for name, one in CALLS.items() if one.since <= version[:2]}
    has_modules = "interpreters" in capabilities
    stands = {
        f"stand:{name}"
        for name, one in STANDS.items()
        if one.since <= version[:2] and (has_modules or one.needs != "interpreters")
    }
    return calls | stands
