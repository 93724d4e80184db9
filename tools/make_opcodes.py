"""Writes the shipped opcode tables: one JSON file per CPython release, as its own modules `opcode` and `dis` say.

    python tools/make_opcodes.py /path/to/python2.7 /path/to/python3.14

Give one interpreter of each release that you want to write.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MEMBERS = ("release", "exact", "units", "have_argument", "names", "caches", "name_shifts")
OUTPUT = Path(__file__).resolve().parent / "lastwords" / "cpython" / "opcodes"

# Runs on every release. Lib/opcode.py: `opmap`, `_inline_cache_entries` (3.11: by opcode, 3.13: by name). Lib/dis.py:
# `_all_opmap` has the opcodes that the interpreter writes over others when it has seen them often (PEP 659), and
# `_deoptop` says over which. Where an argument is a name, its lowest bits may mean something else: `name_shifts` is
# how far to the right the index stands, found by looking at what the compiler writes.
QUESTION = """\
import dis, json, opcode, sys
everything = dict(getattr(dis, "_all_opmap", opcode.opmap))
everything.update(opcode.opmap)
deopt = getattr(dis, "_deoptop", lambda op: op)
unknown = ("INSTRUMENTED_LINE", "INSTRUMENTED_INSTRUCTION", "ENTER_EXECUTOR", "RESERVED")
names = [None] * 256
for name, op in everything.items():
    if op < 256 and name not in unknown:
        names[op] = opcode.opname[deopt(op)].replace("INSTRUMENTED_", "").replace("+", "_")
entries = getattr(opcode, "_inline_cache_entries", {})
if not hasattr(entries, "items"):  # 3.15: a frozendict
    entries = dict((opcode.opname[op], count) for op, count in enumerate(entries))
caches = dict((name, count) for name, count in entries.items() if count and name in names)
shifts = {}
source = "a0; a1; a2; a3\\nclass B(A):\\n def f(self):\\n  c0; c1; c2; b0.b1; b0.b2(); b3.b4; super().b5"
codes = [compile(source, "", "exec")]
while codes and hasattr(dis, "get_instructions"):
    code = codes.pop()
    codes += [one for one in code.co_consts if hasattr(one, "co_code")]
    for one in dis.get_instructions(code):
        text = str(one.argval).replace("NULL|self + ", "")
        if one.opcode in opcode.hasname and one.arg and text in code.co_names:
            shift = 0
            while one.arg >> shift > code.co_names.index(text): shift += 1
            if shift: shifts[one.opname] = shift
answer = {"release": "%d.%d" % sys.version_info[:2], "exact": "%d.%d.%d" % sys.version_info[:3]}
answer.update(units=2 if sys.version_info >= (3, 6) else 1, have_argument=opcode.HAVE_ARGUMENT)
answer.update(names=names, caches=caches, name_shifts=shifts)
sys.stdout.write(json.dumps(answer))
"""


def read_opcodes(python: Path) -> dict[str, object]:
    """The table of the release that `python` is."""
    answer = subprocess.run([python, "-E", "-S", "-c", QUESTION], capture_output=True, check=True)
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def format_opcodes(table: dict[str, object]) -> str:
    """The table as JSON, one member a line."""
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(table[key], sort_keys=True)}" for key in MEMBERS)
    return f"{{\n{lines}\n}}\n"


def main(pythons: list[str]) -> None:
    """Writes one file for each interpreter."""
    for python in pythons:
        table = read_opcodes(Path(python))
        target = OUTPUT / f"{table['release']}.json"
        target.write_text(format_opcodes(table))
        sys.stdout.write(f"{target.name}: {table['exact']}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
