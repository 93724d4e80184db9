"""C and Python frames of one thread as one stack: pure, from what was unwound and what was read.

Each C frame of the interpreter's loop is replaced by the Python frames that it ran. Which they are is told by an
address in that C frame, or, to 3.10, by their order. What is not told so is not guessed: then both are kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from lastwords.model import Frame
from lastwords.native.unwind import NativeFrame

LOOP = "_PyEval_EvalFrameDefault"
OLD_LOOP = "PyEval_EvalFrameEx"  # in 2.7; from 3.6 on it only calls the other, if it is called at all
PART_OF_LOOP = "_TAIL_CALL_"  # 3.14 with tail calls: one function for each instruction, called by the loop


class Run(msgspec.Struct):
    """The Python frames of a Segment, innermost first."""

    entry: int | None
    frames: list[Frame]


class Merged(msgspec.Struct):
    """One stack, innermost first. Where it does not `fit` it is Python's alone, and `error` says why.

    There may be an `error` in one that fits: then the outer part of it is Python's alone.
    """

    frames: list[Frame]
    fits: bool
    error: str | None = None


class Body(msgspec.Struct):
    """One C frame in memory, [sp, end), with those inlined into it, which come first.

    end: None for the outermost; loop: which of `frames` is the interpreter's loop
    """

    frames: Sequence[NativeFrame]
    sp: int
    end: int | None
    loop: int | None


def base_name(function: str | None) -> str:
    """Without what is added to the names of parts, copies and versions: ".cold", ".lto_priv.0", "@@GLIBC_2.34"."""
    return (function or "").split(".")[0].split("@")[0]


def find_bodies(native: Sequence[NativeFrame], loop: str) -> list[Body]:
    """The C frames, innermost first; `loop` is the name of the interpreter's."""
    ends = [at + 1 for at, frame in enumerate(native) if not frame.inlined or at + 1 == len(native)]
    starts = [0, *ends[:-1]] if ends else []
    return [
        Body(
            frames=native[start:end],
            sp=native[start].sp,
            end=native[end].sp if end < len(native) else None,
            loop=next((at - start for at in range(start, end) if base_name(native[at].function) == loop), None),
        )
        for start, end in zip(starts, ends, strict=True)
    ]


def merge(
    native: Sequence[NativeFrame],
    runs: Sequence[Run],
    problem: str | None = None,
    *,
    loop: str = LOOP,
    is_shared: bool = False,
) -> Merged:
    """The two as one. `problem` is why the C frames end early: then so does what they can be merged with.

    loop: the name of the function whose C frames are replaced
    is_shared: further out there may be C frames that ran Python frames of others (greenlets) than those of `runs`
    """
    python = list(chain.from_iterable(run.frames for run in runs))
    bodies = find_bodies(native, loop)
    if not bodies:
        return Merged(python, fits=True, error=problem)
    if any(run.entry is not None for run in runs):
        found = _find_by_address(bodies, runs)
    else:
        found = _find_by_order(bodies, runs, is_torn=problem is not None, is_shared=is_shared)
    missing = len(runs) - len(found or ())
    if found is None or (missing and problem is None):
        return Merged(python, fits=False, error=_explain(bodies, runs, problem))
    if missing and found:
        problem = f"{problem}; so nothing is known of the C frames of its {missing} outermost calls from C to Python"
    hidden = len(found) - len(set(found))  # of two runs in one C frame, one belongs to a C frame that was stepped over
    if hidden and problem is None:
        problem = f"the C frames around {hidden} of its calls from C to Python were not found"
    rest = chain.from_iterable(run.frames for run in runs[len(found) :])
    return Merged([*_interleave(bodies, runs, found), *rest], fits=True, error=problem)


def _find_by_address(bodies: Sequence[Body], runs: Sequence[Run]) -> list[int] | None:
    """For each run, from the innermost on, the C frame in which its entry lies. None where these are in another order.

    Ends at the first run whose entry lies in none: that one is further out than the C frames go.
    """
    found: list[int] = []
    for run in runs:
        at = next((at for at, body in enumerate(bodies) if run.entry is not None and _holds(body, run.entry)), None)
        if at is None or (bodies[at].end is None and at in found):
            break
        if found and at < found[-1]:
            return None
        found.append(at)
    return found


def _holds(body: Body, address: int) -> bool:
    if body.end is not None:
        return body.sp <= address < body.end
    return body.loop is not None and body.sp <= address  # nothing further out is known: the next loop is this


def _find_by_order(bodies: Sequence[Body], runs: Sequence[Run], *, is_torn: bool, is_shared: bool) -> list[int] | None:
    """One C frame of the loop for each run. None where there are not as many; fewer are enough of a torn stack.

    The innermost may have begun just now, and not have its Python frame in the thread's list yet.
    """
    loops = [at for at, body in enumerate(bodies) if body.loop is not None]
    if len(loops) == len(runs) or not runs or (is_torn and len(loops) < len(runs)):
        return loops[: len(runs)]
    return loops[1:] if len(loops) == len(runs) + 1 and not is_torn and not is_shared else None


def _explain(bodies: Sequence[Body], runs: Sequence[Run], problem: str | None) -> str:
    calls = "1 call" if len(runs) == 1 else f"{len(runs)} calls"
    if any(run.entry is not None for run in runs):
        placed = sum(any(run.entry is not None and _holds(body, run.entry) for body in bodies) for run in runs)
        why = f"{placed} of its {calls} from C to Python lie in them"
    else:
        why = f"{sum(body.loop is not None for body in bodies)} of them run Python code, for {calls} from C to Python"
    return f"its C frames do not fit the Python ones: {why}{f'; {problem}' if problem else ''}"


def _interleave(bodies: Sequence[Body], runs: Sequence[Run], found: Sequence[int]) -> Iterator[Frame]:
    inside: dict[int, list[Frame]] = {}
    for at, run in zip(found, runs, strict=False):
        inside.setdefault(at, []).extend(run.frames)
    outermost = max(inside, default=len(bodies))
    is_others = False
    for at, body in enumerate(bodies):
        if at in inside:
            yield from _replace_loop(body, inside[at])
            continue
        # a loop further out than all of ours runs somebody else's frames: those of the greenlet that began this one
        is_others = is_others or (at > outermost and body.loop is not None)
        if not base_name(body.frames[-1].function).startswith(PART_OF_LOOP):
            yield from (to_frame(frame, is_plumbing=is_others) for frame in body.frames)


def _replace_loop(body: Body, frames: list[Frame]) -> Iterator[Frame]:
    """The C frame with the loop's place taken by `frames`: what is inlined into the loop stays inside of them."""
    at, outer = body.loop, 1
    if at is None:  # known by its address: a part of the loop that has no name, or a function it is inlined into
        at = len(body.frames) - 1
        outer = 0 if base_name(body.frames[at].function) else 1
    yield from (to_frame(frame) for frame in body.frames[:at])
    yield from frames
    yield from (to_frame(frame) for frame in body.frames[at + outer :])


def to_frame(frame: NativeFrame, *, is_plumbing: bool = False) -> Frame:
    """A C frame as the report has it."""
    return Frame(
        kind="native",
        function=frame.function,
        file=frame.file,
        line=frame.line,
        column=frame.column,
        library=frame.library,
        address=frame.pc,
        offset=frame.offset,
        inlined=frame.inlined,
        guessed=frame.guessed,
        plumbing=is_plumbing,
    )
