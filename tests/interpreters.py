"""Every CPython of this machine that the tests can run, and what each of them has.

Looked for, in this order: `LASTWORDS_PYTHONS` (paths, separated by `:`), pyenv's versions, what `make pythons`
put under `.cache/pythons`, and `pythonX.Y` on PATH. What an interpreter can do is found by looking at its ELF
file and by asking it once, never by its version.

`LASTWORDS_TEST_PYTHONS=py3.11,py2.7` narrows the list to these names. `python tests/interpreters.py` prints it.

Some builds are `extra`: each differs from one of the others only in how it lies in its files (static, stripped), or
is one that lastwords refuses (free-threaded). Only tests that ask for them run on them, and whoever names them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

CHECKOUT = Path(__file__).resolve().parent.parent
BUILT = CHECKOUT / ".cache" / "pythons"

# Runs on every version from 2.7 up, without site: prints one JSON object.
QUESTION = """\
import json, sys
found = []
def look(name, there):
    if there: found.append(name)
try:
    import sysconfig
    config = sysconfig.get_config_vars()
except Exception:
    config = {}
try:
    import threading
except Exception:
    threading = None
look('monitoring', hasattr(sys, 'monitoring'))
look('unraisable_hook', hasattr(sys, 'unraisablehook'))
look('threading_excepthook', hasattr(threading, 'excepthook'))
look('column_positions', hasattr(look.__code__, 'co_positions'))
look('qualified_names', hasattr(look.__code__, 'co_qualname'))
look('native_thread_id', hasattr(threading, 'get_native_id'))
look('pydebug', hasattr(sys, 'gettotalrefcount'))
look('free_threaded', bool(config.get('Py_GIL_DISABLED')))
try:
    from importlib.util import find_spec
except ImportError:
    from imp import find_module as find_spec
for module in ('asyncio', 'concurrent', 'ctypes', 'ensurepip', 'sqlite3', 'venv'):
    try:
        look(module, find_spec(module))
    except ImportError:
        pass
import platform
print(json.dumps([list(sys.version_info[:3]), platform.python_implementation(), found]))
"""


@dataclass(frozen=True)
class Interpreter:
    """One CPython: its readable `name` (a pytest id), its executable, (major, minor, micro), what it can do.

    Capabilities from its ELF files: `musl` (its C library), `debug_symbols` (DWARF in the file), `separate_debug` (in
    /usr/lib/debug),
    `symbols` (.symtab), `stripped` (no .symtab), `static` or `shared` (libpython), `pie` (an executable that lies
    elsewhere each time), `debug_offsets` (a `.PyRuntime` section that begins with `_Py_DebugOffsets`).
    From where it lies: `extra` (see above).
    From asking it: see QUESTION.
    """

    name: str
    path: Path
    version: tuple[int, int, int]
    capabilities: frozenset[str]

    @property
    def minor(self) -> str:
        """Like `3.13`."""
        return f"{self.version[0]}.{self.version[1]}"

    def has(self, *capabilities: str) -> bool:
        """Whether it can do all of these; a leading `!` asks for the opposite."""
        return all((wanted.lstrip("!") in self.capabilities) != wanted.startswith("!") for wanted in capabilities)


def find_interpreters(extra: bool = False) -> list[Interpreter]:
    """All interpreters of this machine, each once, oldest first, narrowed by `LASTWORDS_TEST_PYTHONS`.

    Without the `extra` ones, unless they are asked for, or named.
    """
    wanted = os.environ.get("LASTWORDS_TEST_PYTHONS", "").replace(",", " ").split()
    found = _find_all()
    unknown = set(wanted) - {one.name for one in found}
    if unknown:
        names = ", ".join(one.name for one in found)
        raise LookupError(f"LASTWORDS_TEST_PYTHONS names {', '.join(sorted(unknown))}; this machine has {names}")
    return [one for one in found if (one.name in wanted if wanted else extra or one.has("!extra"))]


def find_pypy() -> Path | None:
    """The PyPy that `make pythons` put there: no CPython, so it is not among the interpreters."""
    return next(BUILT.glob("pypy*/usr/bin/pypy3.*"), None)


def find_python(minor: str) -> Interpreter | None:
    """The first interpreter found that is a `minor` (like `2.7`) and not `extra`, without looking on; or None."""
    named = ((prefix, path.resolve()) for prefix, path in _candidates())
    found = (_examine(prefix, path) for prefix, path in named if path.name == f"python{minor}")
    return next((one for one in found if one and one.has("!extra")), None)


def describe_python(path: Path) -> Interpreter:
    """The interpreter behind `path`, which may be a virtual environment's. Raises LookupError where there is none."""
    real = path.resolve()
    prefix = next((prefix for prefix, one in _candidates() if one.resolve() == real), "py")
    if found := _examine(prefix, real):
        return found
    raise LookupError(f"{path} is no CPython that runs")


@cache
def _find_all() -> tuple[Interpreter, ...]:
    found: dict[Path, Interpreter] = {}
    for prefix, path in _candidates():
        real = path.resolve()
        if real not in found and (one := _examine(prefix, real)):
            found[real] = one
    return tuple(_distinguish(sorted(found.values(), key=lambda one: (one.version, one.name))))


def _candidates() -> Iterator[tuple[str, Path]]:
    """(the beginning of its name, or its whole name; an executable that may be a Python)."""
    for named in filter(None, os.environ.get("LASTWORDS_PYTHONS", "").split(":")):
        yield "py", Path(named)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for path in sorted(pyenv.glob("versions/*/bin/python")):
        yield "py", path
    for path in sorted(BUILT.glob("[!.]*/usr/bin/python[23].*")):
        yield f"={path.parents[2].name}", path
    for folder in filter(None, os.environ.get("PATH", "").split(":")):
        for path in sorted(Path(folder).glob("python[23].*")):
            if re.fullmatch(r"python\d\.\d+t?", path.name):  # a debug build is tested only when it is named
                yield _system_prefix() if folder in ("/usr/bin", "/bin") else "py", path


def _system_prefix() -> str:
    """`deb` on Debian, `fed` on Fedora ...: the distribution's own Python is a build of its own."""
    try:
        return platform.freedesktop_os_release()["ID"][:3]
    except OSError:
        return "sys"


def _examine(prefix: str, path: Path) -> Interpreter | None:
    """The interpreter at `path`, or None where there is none: pyenv's shims and pythonX.Y-config are scripts."""
    if not re.fullmatch(r"python[\d.]*t?d?", path.name):
        return None
    try:
        looks = _look_at_elf(path)
        answer = subprocess.run(
            [path, "-E", "-S", "-c", QUESTION], capture_output=True, timeout=60, check=True, cwd="/"
        )
        version, implementation, found = json.loads(answer.stdout)
    except (OSError, ELFError, subprocess.SubprocessError, ValueError):
        return None
    if implementation != "CPython":
        return None
    capabilities = looks | frozenset(found) | ({"extra"} if _is_extra(path) else set())
    name = prefix[1:] if prefix.startswith("=") else f"{prefix}{version[0]}.{version[1]}"
    name += "t" * ("free_threaded" in capabilities) + "d" * ("pydebug" in capabilities)
    if "stripped" in capabilities and not prefix.startswith("="):
        name += "-stripped"
    return Interpreter(name, path, (version[0], version[1], version[2]), capabilities)


def _is_extra(path: Path) -> bool:
    """All that `make pythons` made, but what Debian ships."""
    return path.is_relative_to(BUILT) and not path.relative_to(BUILT).parts[0].startswith("deb")


def _look_at_elf(path: Path) -> frozenset[str]:
    """What the executable says, and the ELF file that holds the interpreter: itself, or the libpython that it loads."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        kind = {"pie"} if elf["e_type"] == "ET_DYN" else set()
        dynamic = elf.get_section_by_name(".dynamic")
        tags = dynamic.iter_tags("DT_NEEDED") if isinstance(dynamic, DynamicSection) else ()
        library = next(
            (name for tag in tags if (name := str(getattr(tag, "needed", ""))).startswith("libpython")), None
        )
        if library:
            return _look_at_elf(_find_library(path, library)) - {"static", "pie"} | {"shared"} | kind
        return _look_at_sections(elf) | {"static"} | kind | _look_at_loader(elf)


def _look_at_loader(elf: ELFFile) -> frozenset[str]:
    loader = elf.get_section_by_name(".interp")
    return frozenset({"musl"} if loader is not None and b"musl" in loader.data() else ())


def _find_library(executable: Path, name: str) -> Path:
    """Where the loader found libpython: asked of the process itself, because only it knows its RUNPATH."""
    maps = subprocess.run(
        [executable, "-E", "-S", "-c", "print(open('/proc/self/maps').read())"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    return Path(next(line.split()[-1] for line in maps.splitlines() if line.endswith(f"/{name}")))


def _look_at_sections(elf: ELFFile) -> frozenset[str]:
    looks = {"symbols" if elf.get_section_by_name(".symtab") else "stripped"}
    if elf.get_section_by_name(".debug_info"):
        looks.add("debug_symbols")
    if _has_separate_debug(elf):
        looks.add("separate_debug")
    runtime = elf.get_section_by_name(".PyRuntime")
    if runtime is not None and runtime.data()[:8] == b"xdebugpy":  # _Py_Debug_Cookie of pycore_debug_offsets.h
        looks.add("debug_offsets")
    return frozenset(looks)


def _has_separate_debug(elf: ELFFile) -> bool:
    section = elf.get_section_by_name(".note.gnu.build-id")
    if not isinstance(section, NoteSection):
        return False
    ids = [str(note["n_desc"]) for note in section.iter_notes()]
    return any(Path(f"/usr/lib/debug/.build-id/{one[:2]}/{one[2:]}.debug").exists() for one in ids)


def _distinguish(found: Iterable[Interpreter]) -> Iterator[Interpreter]:
    """Names that are unique: the first keeps the short one, others get their micro version, then a letter."""
    taken: set[str] = set()
    for one in found:
        names = [one.name, one.name.replace(one.minor, ".".join(map(str, one.version)), 1)]
        names += [f"{names[1]}-{letter}" for letter in "bcdefghijklmnopqrstuvwxyz"]
        name = next(name for name in names if name not in taken)
        taken.add(name)
        yield replace(one, name=name)


def main() -> None:
    """Print one line per interpreter."""
    for one in find_interpreters(extra=True):
        sys.stdout.write(f"{one.name:18} {one.path}\n{'':18}   {' '.join(sorted(one.capabilities))}\n")


if __name__ == "__main__":
    main()
