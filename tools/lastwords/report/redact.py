"""`--redact`: a report that may be shown to strangers: without arguments, paths, addresses and values.

What is a value of the program's or of its machine is hidden where the report has a field for it. Wherever else text
stands, what was hidden there, and what looks like a path or the address of a socket, is hidden once more. Names of
functions, modules, locks and local variables, and the program's lines of code stay: without them nothing could be told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import Any, TypeVar

from lastwords.frames import PATCHER, is_patchers
from lastwords.model import (
    Descriptor,
    Entity,
    ExceptionValue,
    Frame,
    Process,
    Report,
    TraceCall,
    Value,
)
from lastwords.report.places import FOLDED, standard_part

HIDDEN = "<hidden>"
LONG = 4  # characters; a shorter word of the arguments is a word of everybody's
AS_THEY_ARE = frozenset(  # fields
    [
        "id", "process", "moment", "thread", "greenlet", "loop", "task", "origin",
        "to", "target", "interpreter", "owner", "parent", "kind", "code", "certainty",
        "mode", "how", "phase", "step", "reason", "state", "function", "qualname",
        "module", "source", "type", "version", "implementation", "build", "captured_at", "call",
        "get_ident", "get_ident_module", "holder", "missing", "attributes", "holds", "waiters", "namespaces",
        "libraries", "modules", "signals_caught", "counts", "references", "words", "hook", "gone",
    ]
)  # fmt: skip
_PATH = re.compile(r"(?<![\w<>/.])~?/(?:[^\s/:,;'\"()<>|`]+/)*[^\s/:,;'\"()<>|`]+")
_CODE = re.compile(r"\.(?:pyc?|pyx|so(?:\.\d+)*|[ch]|cc|cpp)$")
_ADDRESS = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::\d+)?|(?<!\w)@[^\s,;)]+"
)
_NAME = re.compile(r"[\w.\-# ]+(?:\([\w.<>\-]*\))?")

One = TypeVar("One", bound=Entity)


def redact(report: Report) -> Report:
    """Another report, in which what is the program's and the machine's own is hidden; findings and all."""
    return _Redaction(report).hide(report)


def hide_path(path: str) -> str:
    """The file's name alone; of the standard library `<path>/threading.py`."""
    if path.startswith("<"):
        return path
    inside = standard_part(path)
    return f"{FOLDED}/{inside}" if inside else PurePath(path).name or HIDDEN


def _hide_path_in_text(path: str) -> str:
    """As above where it is a file of code; of a file of data the name is hidden, too."""
    return hide_path(path) if _CODE.search(path) else FOLDED


class _Redaction:
    def __init__(self, report: Report) -> None:
        self._kept = set(map(str, _own_numbers(report)))
        words = sorted(set(_find_words(report)) - self._kept - {"", HIDDEN}, key=len, reverse=True)
        self._texts = _any_of(one for one in words if "/" in one)
        self._words = _any_of(one for one in words if "/" not in one)

    def hide(self, one: One) -> One:
        """A struct like this one, each field by its rule."""
        fields = {name: self._hide_field(one, name) for name in one.__struct_fields__}
        return type(one)(**fields)

    def _hide_field(self, one: Entity, name: str) -> Any:  # noqa: ANN401 (a field of any type)
        value = getattr(one, name)
        rule = RULES.get((type(one).__name__, name))
        if value is None or (rule is None and name in AS_THEY_ARE):
            return value
        return rule(self, one, value) if rule else self.hide_any(value)

    def hide_any(self, value: Any) -> Any:  # noqa: ANN401
        """By its type: what no rule is about."""
        match value:
            case str():
                return self.hide_text(value)
            case Entity():
                return self.hide(value)
            case list():
                return [self.hide_any(item) for item in value]
            case dict():
                return {key: self.hide_any(item) for key, item in value.items()}
        return value

    def hide_text(self, text: str) -> str:
        """A sentence: without what is hidden elsewhere, paths and addresses. Paths while they are whole."""
        text = _PATH.sub(lambda found: _hide_path_in_text(found[0]), self._texts.sub(HIDDEN, text))
        return self._words.sub(HIDDEN, _ADDRESS.sub(HIDDEN, text))

    def hide_name(self, text: str) -> str:
        """A name that somebody gave a thread stays, unless it is more than a name."""
        return text if _NAME.fullmatch(text) else HIDDEN

    def hide_value(self, text: str) -> str:
        """All of it, but for a number that is an identity in this report."""
        return text if text in self._kept else HIDDEN


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(_bounded, words)) or r"(?!)")


def _bounded(word: str) -> str:
    """A pattern of the word where it is not a part of a longer one."""
    before = r"(?<!\w)" if word[0].isalnum() or word[0] == "_" else ""
    after = r"(?![\w/])" if word[-1].isalnum() or word[-1] == "_" else ""
    return f"{before}{re.escape(word)}{after}"


def _own_numbers(report: Report) -> Iterator[int]:
    """Identities of threads: a key of a dict that is one of them is what a finding is about."""
    for one in report.threading:
        yield from (number for number in (one.native_ident, one.main_ident, one.current_ident) if number)
        yield from (entry.key for entry in one.active)
    yield from (thread.ident for thread in report.threads if thread.ident)


def _find_words(report: Report) -> Iterator[str]:
    """What has a field of its own that will be hidden, to be looked for in sentences."""
    for process in report.processes:
        yield process.cwd or ""
        words = [" ".join(process.argv), *process.argv[1:]]
        words += [word for one in process.fds for word in (one.target, one.peer or "")]
        yield from (word for word in words if len(word) >= LONG and not _is_path(word))
    for caught in report.exceptions:
        yield from _find_in_exception(caught.exception)
        yield from _find_in_value(caught.object)
        yield caught.message or ""
    for thread in report.threads:
        for exception in (thread.handled, thread.pending):
            yield from _find_in_exception(exception)
    for values in _find_locals(report):
        for value in values:
            yield from (word for word in _find_in_value(value) if len(word) >= LONG)
    actors = (report.threads, report.greenlets, report.tasks)
    yield from (one.name for group in actors for one in group if one.name and not _NAME.fullmatch(one.name))


def _is_path(word: str) -> bool:
    """That is found in a sentence as what it is."""
    return word.endswith(".py") or _PATH.fullmatch(word) is not None


def _find_locals(report: Report) -> Iterator[Iterable[Value]]:
    for group in (report.threads, report.greenlets, report.tasks):
        for one in group:
            yield from ((frame.locals or {}).values() for frame in one.stack)
    yield from (one.state.values() for one in report.objects)


def _find_in_exception(exception: ExceptionValue | None) -> Iterator[str]:
    while exception is not None:
        yield from _unquoted(exception.value or "")
        for argument in exception.args:
            yield from _find_in_value(argument)
        exception = exception.cause or exception.context


def _find_in_value(value: Value | None) -> Iterator[str]:
    return _unquoted((value and value.repr) or "")


def _unquoted(text: str) -> Iterator[str]:
    """The text; and without its quotes where it is a string's."""
    yield text
    yield text[1:-1] if text[:1] in ("'", '"') and text[-1:] == text[:1] else ""


def _hide_argv(_: _Redaction, __: Process, argv: list[str]) -> list[str]:
    return [hide_path(word) if at == 0 else HIDDEN for at, word in enumerate(argv)]


def _hide_path(redaction: _Redaction, one: Any, path: str) -> str:  # noqa: ANN401
    if isinstance(one, Frame) and is_patchers(one) and not path.startswith("<"):
        return f"{FOLDED}/{PATCHER}/{PurePath(path).name}"
    return hide_path(path)


def _hide_text_of(redaction: _Redaction, _: object, text: str) -> str:
    return redaction.hide_value(text)


def _hide_name(redaction: _Redaction, _: object, name: str) -> str:
    return redaction.hide_name(name)


def _hide_texts(redaction: _Redaction, _: object, texts: dict[str, str]) -> dict[str, str]:
    return dict.fromkeys(texts, HIDDEN)


def _hide_changes(_: _Redaction, __: TraceCall, changed: list[str]) -> list[str]:
    return [f"{one.partition(' = ')[0]} = {HIDDEN}" for one in changed]


def _hide_target(redaction: _Redaction, one: Descriptor, target: str) -> str:
    """What kind it is: `socket:<hidden>`, `pipe:<hidden>`, `<path>`."""
    kind, bracket, _ = target.partition("[")
    return FOLDED if target.startswith("/") else f"{kind}{HIDDEN}" if bracket else target


Rule = Callable[[_Redaction, Any, Any], Any]
RULES: dict[tuple[str, str], Rule] = {
    ("Process", "argv"): _hide_argv,
    ("Process", "executable"): _hide_path,
    ("Process", "cwd"): _hide_text_of,
    ("Descriptor", "target"): _hide_target,
    ("Descriptor", "peer"): _hide_text_of,
    ("Frame", "file"): _hide_path,
    ("Frame", "library"): _hide_path,
    ("Frame", "arguments"): _hide_text_of,
    ("Subject", "file"): _hide_path,
    ("Subject", "name"): _hide_name,
    ("Evidence", "file"): _hide_path,
    ("Value", "repr"): _hide_text_of,
    ("ExceptionValue", "value"): _hide_text_of,
    ("Object", "state"): lambda redaction, _, state: redaction.hide_any(state),
    ("Caught", "message"): _hide_text_of,
    ("Caught", "thread"): _hide_name,
    ("Thread", "name"): _hide_name,
    ("Greenlet", "name"): _hide_name,
    ("Task", "name"): _hide_name,
    ("ActiveThread", "name"): _hide_name,
    ("TraceCall", "file"): _hide_path,
    ("TraceCall", "arguments"): _hide_texts,
    ("TraceCall", "changed"): _hide_changes,
    ("TraceCall", "result"): _hide_text_of,
    ("TraceCall", "exception"): _hide_text_of,
}
