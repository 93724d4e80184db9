"""Merging C and Python frames: whatever the stacks, no frame is lost, and each run of Python is where it was run."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from lastwords.model import Frame
from lastwords.native.merge import LOOP, OLD_LOOP, Merged, Run, base_name, merge
from lastwords.native.unwind import NativeFrame

LOOPS = (LOOP, f"{LOOP}.cold", f"{LOOP}.lto_priv.0")
NAMES = ("list_sort", "_PyObject_Vectorcall", "call_deeper", "PyEval_EvalFrameEx", "closure_fcn", "", None)
SP = 0x7F00_0000_0000


@dataclass
class Made:
    """A stack as it is, and what it should become."""

    native: list[NativeFrame]
    runs: list[Run]
    merged: list[str]
    loops: list[int]  # the index of the native frame of each run

    def cut(self, length: int) -> list[NativeFrame]:
        return self.native[:length]


def python(name: str) -> Frame:
    return Frame(kind="python", function=name)


def label(frame: Frame) -> str:
    return f"C {frame.address}" if frame.kind == "native" else str(frame.function)


class Maker:
    """Makes a stack from the innermost frame on."""

    def __init__(self, with_entries: bool) -> None:
        self.made = Made([], [], [], [])
        self.sp = SP
        self.with_entries = with_entries

    def add(self, function: str | None, size: int = 16, inlined: int = 0, run: list[str] | None = None) -> None:
        """A C frame with what is inlined into it; `run`: the Python frames that it runs."""
        for name in [*["inlined"] * inlined, function]:
            frame = NativeFrame(pc=len(self.made.native), sp=self.sp, function=name, inlined=name == "inlined")
            self.made.native.append(frame)
            if run is None or name == "inlined":
                self.made.merged.append(f"C {frame.pc}")
        if run is not None:
            entry = self.sp + size // 2 if self.with_entries else None
            self.made.runs.append(Run(entry, [python(name) for name in run]))
            self.made.merged += run
            self.made.loops.append(len(self.made.native) - 1)
        self.sp += size


@st.composite
def stacks(draw: st.DrawFn, with_entries: bool | None = None) -> Made:
    maker = Maker(draw(st.booleans()) if with_entries is None else with_entries)
    for number in range(draw(st.integers(0, 6))):
        for _ in range(draw(st.integers(0, 3))):
            maker.add(draw(st.sampled_from(NAMES)), draw(st.integers(1, 9)) * 16, draw(st.integers(0, 2)))
        count = draw(st.integers(1, 4)) if maker.with_entries else 1
        run = [f"python {number} {at}" for at in range(count)]
        maker.add(draw(st.sampled_from(LOOPS)), draw(st.integers(1, 9)) * 16, draw(st.integers(0, 2)), run)
    for _ in range(draw(st.integers(1, 3))):
        maker.add(draw(st.sampled_from(NAMES)))
    return maker.made


def labels(merged: Merged) -> list[str]:
    return [label(frame) for frame in merged.frames]


def pythons(runs: list[Run]) -> list[str]:
    return [str(frame.function) for run in runs for frame in run.frames]


@given(stacks())
def test_whole_stacks(made: Made) -> None:
    merged = merge(made.native, made.runs)
    assert merged.fits
    assert merged.error is None
    assert labels(merged) == made.merged


@given(stacks(), st.data())
def test_a_torn_stack_is_merged_as_far_as_it_goes(made: Made, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(made.native)))
    while length < len(made.native) and length and made.native[length - 1].inlined:
        length += 1  # what is inlined comes with what it is inlined into
    merged = merge(made.native[:length], made.runs, "the caller of 0x1 is not known")
    assert merged.fits
    assert (merged.error or "").startswith("the caller of 0x1 is not known")
    done = sum(at < length for at in made.loops)
    assert [one for one in labels(merged) if one.startswith("python")] == pythons(made.runs)
    inner = [one for one in made.merged if is_before(one, length, pythons(made.runs[:done]))]
    assert labels(merged) == inner + pythons(made.runs[done:])
    assert ("nothing is known" in (merged.error or "")) == (0 < done < len(made.runs))


def is_before(one: str, length: int, done: list[str]) -> bool:
    return int(one[2:]) < length if one.startswith("C ") else one in done


@given(stacks(), st.data())
def test_nothing_is_ever_lost(made: Made, data: st.DataObject) -> None:
    """Whatever does not fit: entries that lie elsewhere, runs too many and too few, a shuffled stack."""
    entries = st.none() | st.integers(SP - 64, SP + 4096)
    runs = [Run(data.draw(entries | st.just(run.entry)), run.frames) for run in made.runs]
    runs += [Run(data.draw(entries), [python("python more")])] * data.draw(st.integers(0, 2))
    native = data.draw(st.permutations(made.native)) if data.draw(st.booleans()) else made.native
    merged = merge(native, runs, data.draw(st.none() | st.just("torn")), is_shared=data.draw(st.booleans()))
    assert [str(one.function) for one in merged.frames if one.kind == "python"] == pythons(runs)
    own = [frame.address for frame in merged.frames if frame.kind == "native"]
    if not merged.fits:
        assert own == []
        assert merged.error
        return
    replaced = [frame for frame in native if frame.pc not in own]
    assert own == [frame.pc for frame in native if frame.pc in own]
    assert len(replaced) <= len(runs)
    assert all(base_name(frame.function) in (LOOP, "") for frame in replaced)


def test_more_c_frames_than_python_ones_to_310() -> None:
    """A loop that has begun just now has no Python frame yet; but under greenlets the outer one may be another's."""
    native = [NativeFrame(pc=pc, sp=pc * 16, function=name) for pc, name in enumerate((LOOP, "call", LOOP, "main"), 1)]
    runs = [Run(None, [python("f")])]
    assert labels(merge(native, runs)) == ["C 1", "C 2", "f", "C 4"]
    merged = merge(native, runs, is_shared=True)
    assert (merged.fits, labels(merged)) == (False, ["f"])
    why = "2 of them run Python code, for 1 call from C to Python"
    assert merged.error == f"its C frames do not fit the Python ones: {why}"


def test_the_loop_of_27() -> None:
    native = [NativeFrame(pc=pc, sp=pc * 16, function=name) for pc, name in enumerate((OLD_LOOP, "main"), 1)]
    runs = [Run(None, [python("f")])]
    assert labels(merge(native, runs, loop=OLD_LOOP)) == ["f", "C 2"]
    assert not merge(native, runs).fits


def test_frames_of_the_greenlet_that_began_this_one() -> None:
    """Its C frames lie further out on the same stack; their Python frames are not this greenlet's."""
    names = (LOOP, "inner_bootstrap", "g_switch", LOOP, "main")
    native = [NativeFrame(pc=pc, sp=pc * 16, function=name) for pc, name in enumerate(names, 1)]
    merged = merge(native, [Run(24, [python("f")])], is_shared=True)
    assert labels(merged) == ["f", "C 2", "C 3", "C 4", "C 5"]
    assert [frame.plumbing for frame in merged.frames] == [False, False, False, True, True]


def test_the_loop_by_its_address_alone() -> None:
    """A part of it that has no name; and a function that it was inlined into, which keeps its own."""
    native = [
        NativeFrame(pc=pc, sp=pc * 16, function=name) for pc, name in enumerate((None, "_PyEval_Vector", "main"), 1)
    ]
    assert labels(merge(native, [Run(16, [python("f")]), Run(40, [python("g")])])) == ["f", "g", "C 2", "C 3"]


def test_tail_calls() -> None:
    names = ("sem_wait", "_TAIL_CALL_CALL_BUILTIN_FAST.llvm.123", LOOP, "main")
    native = [NativeFrame(pc=pc, sp=pc * 16, function=name) for pc, name in enumerate(names, 1)]
    assert labels(merge(native, [Run(50, [python("f")])])) == ["C 1", "f", "C 4"]


def test_two_runs_in_one_frame_are_told() -> None:
    """A frame that unwinding without tables stepped over."""
    native = [NativeFrame(pc=1, sp=16, function=LOOP), NativeFrame(pc=2, sp=64, function="main")]
    merged = merge(native, [Run(20, [python("f")]), Run(40, [python("g")])])
    assert labels(merged) == ["f", "g", "C 2"]
    assert merged.error == "the C frames around 1 of its calls from C to Python were not found"


def test_no_c_frames_at_all() -> None:
    runs = [Run(1, [python("f")])]
    assert merge([], runs, "no registers") == Merged(runs[0].frames, fits=True, error="no registers")
    assert merge([], []) == Merged([], fits=True)


def test_names_of_parts_and_copies() -> None:
    names = ["f.cold", "f.lto_priv.0.cold", "f.constprop.0.isra.1", "f@@GLIBC_2.34", "f"]
    assert {base_name(name) for name in names} == {"f"}
    assert base_name(None) == ""
