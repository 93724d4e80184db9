"""Every way in which a generated program calls on (calls.txt), and every way in which it stands still (stands.txt).

A template of calls.txt defines `{name}`, callable without arguments. In it `{call}` is an expression that calls the
next one, perhaps over many lines, `{simple}` the same on one line; a line `{locals}` stands for assignments, `{lock}`
for a lock of its own, `{gap}` for empty lines, `{far}` for a number of lines, `{depth}` for one of calls, `{file}` for
a file's name. One of stands.txt is the body of the function in which a thread stands: `{thing}` is what it waits for,
`{held}` a lock that a thread before it holds by a `with`, `{thread}` one that began before it.

The heading of each, `== NAME [made THING] [since RELEASE] [needs WHAT]`, says from which release on there is that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
OLDEST = (2, 7)

# How the things are made that threads wait for.
MADE = {
    "gate": "new_gate()", "pipe": "new_pipe()", "socket": "new_socket()", "event": "new_event()",
    "condition": "new_condition(threading.Lock())", "recondition": "new_condition()", "queue": "new_queue()",
    "lifo": "new_queue('LifoQueue')", "simple_queue": "new_queue('SimpleQueue')",
    "semaphore": "new_semaphore()", "barrier": "new_barrier()", "nothing": "None",
}  # fmt: skip


class Template(NamedTuple):
    """`since` is the first release (major, minor) that has it; `made` the key of MADE for what it waits for.

    needs: "thread": one before it; "lock": one that such a one holds; "daemon": to be one; "interpreters": the module
    """

    text: str
    since: tuple[int, int] = OLDEST
    made: str = "nothing"
    needs: str = ""


def _read_templates(path: Path) -> Iterator[tuple[str, Template]]:
    for section in path.read_text().removeprefix("== ").split("\n== "):
        heading, _, text = section.partition("\n")
        name, *words = heading.split()
        said = dict(zip(words[::2], words[1::2], strict=True))
        major, minor = said["since"].split(".") if "since" in said else OLDEST
        template = Template(text.rstrip("\n") + "\n", (int(major), int(minor)))
        yield name, template._replace(made=said.get("made", "nothing"), needs=said.get("needs", ""))


CALLS = dict(_read_templates(HERE / "calls.txt"))
STANDS = dict(_read_templates(HERE / "stands.txt"))
