"""What gdb shows inside an image: C frames with arguments and lines, CPython's own source, Python's stack."""

from __future__ import annotations

import re
from dataclasses import dataclass

from docker.harness import Docker

PROGRAM = "def outer(asked):\n    inner(asked)\ndef inner(asked):\n    id(asked)\nouter('a question')\n"
FRAMES = [("4", "inner"), ("2", "outer"), ("5", "<module>")]
# Stops in the C function of `id`, three Python frames deep.
SESSION = (
    "set breakpoint pending on", "set confirm off", "break builtin_id", "run", "echo \\n== bt\\n", "bt",
    "echo \\n== py-bt\\n", "py-bt", "echo \\n== list\\n", "list", "echo \\n== end\\n", "kill",
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """What gdb printed for each command."""

    said: str

    def part(self, name: str) -> str:
        """Between two headings; empty if gdb did not come so far."""
        found = re.search(rf"\n== {name}\n(.*?)\n== ", self.said, re.DOTALL)
        return found[1] if found else ""

    @property
    def has_arguments(self) -> bool:
        """The C stack down to main (in optimised builds a jump), each frame with its arguments and its line."""
        stack = self.part("bt")
        begins = re.search(r"#0 +builtin_id \((self|module)=.*, v='a question'\) at .*bltinmodule\.c(\.h)?:\d+", stack)
        ends = re.search(r"#\d+ .* main \(argc=2, argv=0x[0-9a-f]+\) at .*python\.c:\d+|Py_BytesMain \(argc=", stack)
        return bool(begins and ends)

    @property
    def optimized_out(self) -> int:
        """How many arguments of the C stack gdb could not tell."""
        return self.part("bt").count("<optimized out>")

    @property
    def has_python_stack(self) -> bool:
        """py-bt: the three Python frames, with their lines."""
        lines = re.findall(r'File "(?:/app/)?asks\.py", line (\d+), in (\S+)', self.part("py-bt"))
        return [(line, name.partition("(")[0]) for line, name in lines] == FRAMES

    @property
    def has_source(self) -> bool:
        """`list`: CPython's own lines around the place."""
        return "PyLong_FromVoidPtr(v)" in self.part("list")


def ask_gdb(docker: Docker, image: str) -> Shown:
    """gdb starts a program in the image, and shows where it stands."""
    commands = " ".join(f"-ex '{command}'" for command in SESSION)
    script = f"cat >asks.py <<'END'\n{PROGRAM}END\nexec gdb -q -batch {commands} --args python asks.py"
    done = docker.run(image, "sh", "-c", script, timeout=180)
    return Shown(done.stdout + done.stderr)
