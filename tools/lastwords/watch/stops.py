"""Which function of the interpreter stopped, and whether that is news.

One swallowed exception passes several functions on its way to the terminal (PyErr_PrintEx, _PyErr_PrintEx,
PyErr_Display ...), each deeper in the stack than the last. The first is the event; the others are the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Family = Literal["unraisable", "printed", "fatal", "ending"]

# By family, in the order in which one calls the next (Python/errors.c, pythonrun.c, pylifecycle.c).
CHAINS: dict[Family, tuple[str, ...]] = {
    "unraisable": (
        "PyErr_WriteUnraisable",
        "_PyErr_WriteUnraisableMsg",
        "PyErr_FormatUnraisable",
        "write_unraisable_exc_file",
    ),
    "printed": ("PyErr_PrintEx", "_PyErr_PrintEx", "PyErr_DisplayException", "PyErr_Display", "_PyErr_Display"),
    "fatal": ("Py_FatalError", "_Py_FatalErrorFunc", "_Py_FatalErrorFormat"),
    "ending": ("Py_Finalize", "Py_FinalizeEx"),
}
FAMILIES: dict[str, Family] = {name: family for family, names in CHAINS.items() for name in names}


@dataclass(frozen=True)
class Stop:
    """A thread that stands still, at the entry of `function` or with `signal` on its way to it."""

    pid: int
    tid: int
    function: str | None
    signal: str | None
    registers: dict[str, int]

    @property
    def family(self) -> Family | None:
        """What kind of function it is; None for a signal."""
        return FAMILIES.get(self.function or "")

    @property
    def ident(self) -> int:
        """`pthread_self()` of the thread: on x86-64 the base of fs."""
        return self.registers.get("fs_base", 0)

    def argument(self, index: int) -> int:
        """The function's integer argument, in the order of the System V ABI."""
        return self.registers.get(("rdi", "rsi", "rdx", "rcx", "r8", "r9")[index], 0)


def stop_from_event(event: dict[str, Any]) -> Stop:
    """What gdb's side says of a stop, as data."""
    registers = {str(name): int(value) for name, value in event["registers"].items()}
    return Stop(int(event["pid"]), int(event["tid"]), event["location"], event["signal"], registers)


@dataclass
class OpenStops:
    """The functions that each thread has entered and not left yet, outermost first: (tid) -> stops."""

    by_thread: dict[int, list[tuple[Stop, int]]] = field(default_factory=dict)

    def forget(self, pid: int) -> None:
        """The process runs another program now, or none."""
        self.by_thread = {tid: opened for tid, opened in self.by_thread.items() if opened[-1][0].pid != pid}

    def is_news(self, stop: Stop, exception: int, is_active: Callable[[Stop], bool] = lambda _: True) -> bool:
        """Whether `stop` begins something; `exception` is the exception's address, 0 where it has none yet.

        It does not where an open stop of the same family, earlier in the chain, called it for the same exception.
        `is_active` looks into the target whether a function that was entered deeper in the stack has not been left:
        an exception's address alone does not tell, because it is given out again. One that is an instance stays one: a
        type with its arguments, which is what C code raises, is another.
        """
        opened = [
            (other, address)
            for other, address in self.by_thread.get(stop.tid, [])
            if _may_enclose(other, stop) and is_active(other)
        ]
        self.by_thread[stop.tid] = [*opened, (stop, exception)]
        return not any(_calls(other, stop) and (not address or address == exception) for other, address in opened)


def _may_enclose(outer: Stop, inner: Stop) -> bool:
    """Whether `outer` may be active still: it has the higher stack pointer, or jumped to the next of its chain."""
    if outer.registers["sp"] != inner.registers["sp"]:
        return outer.registers["sp"] > inner.registers["sp"]
    return _calls(outer, inner)


def _calls(outer: Stop, inner: Stop) -> bool:
    """Whether `outer` comes before `inner` in the same chain."""
    chain = CHAINS[outer.family] if outer.family else ()
    return inner.function in chain and chain.index(str(outer.function)) < chain.index(inner.function)


CALL_SITES_DISTANCE = 4096  # bytes: two calls that one small function makes


def is_told_again(before: Stop, stop: Stop) -> bool:
    """Whether one C function called both, first to print the exception, then to say that it is ignored.

    So do modules made by Cython (`__Pyx_WriteUnraisable`). It says nothing of the exception: compare that, too.
    """
    if (before.family, stop.family, before.tid) != ("printed", "unraisable", stop.tid):
        return False
    if before.registers["sp"] != stop.registers["sp"]:
        return False
    first, second = (one.registers.get("return_address", 0) for one in (before, stop))
    return 0 <= second - first < CALL_SITES_DISTANCE
