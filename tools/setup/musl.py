"""A CPython 3.13 that uses musl, not glibc, as Alpine's does: `.cache/pythons/musl3.13`.

Compiled with the host's gcc, and with headers, libraries and specs of Debian's musl-tools, which are unpacked into
`.cache/musl`: nothing is installed on the machine. All of the interpreter is one file. Its loader, which is musl's
libc, stays in `.cache/musl`.
"""

from __future__ import annotations

import shutil
import sys

from archive import CHECKOUT, PYTHONS, check_machine, end_with, unpack_alone, update
from compiled import SUITE, Build, compile_python, install_python, unpack_source

MUSL = CHECKOUT / ".cache" / "musl"
LOADER = MUSL / "usr" / "lib" / "ld-musl-x86_64.so.1"
COMPILER = MUSL / "musl-gcc"
PACKAGES = ("musl", "musl-dev", "musl-tools", "libffi-dev")  # libffi.a needs nothing that musl has not
BUILD = Build(
    "musl3.13",
    (
        f"CC={COMPILER}",
        "OPT=-O0 -DNDEBUG",
        "PKG_CONFIG=false",  # it would find the host's zlib and others, which are glibc's
        f"LIBFFI_CFLAGS=-I{MUSL}/usr/include/x86_64-linux-gnu",
        f"LIBFFI_LIBS={MUSL}/usr/lib/x86_64-linux-gnu/libffi_pic.a",
    ),
)


def make_missing() -> None:
    """The compiler and the build, unless they are there. Raises PythonsError."""
    if BUILD.executable.exists() and LOADER.exists():
        return
    check_machine()
    _make_compiler()
    work = PYTHONS / ".musl.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    source = unpack_source(work)
    compile_python(BUILD, source, work / BUILD.name)
    install_python(BUILD, source, work / BUILD.name)
    shutil.rmtree(work)
    sys.stdout.write(f"made {BUILD.executable}\n")


def _make_compiler() -> None:
    """What Debian's `musl-gcc` is, at another place than /usr."""
    shutil.rmtree(MUSL, ignore_errors=True)
    update(SUITE)
    unpack_alone(SUITE, PACKAGES, MUSL)
    folder = MUSL / "usr/lib/x86_64-linux-musl"
    specs = (folder / "musl-gcc.specs").read_text()
    for name in ("include", "lib"):
        specs = specs.replace(f"/usr/{name}/x86_64-linux-musl", str(MUSL / "usr" / name / "x86_64-linux-musl"))
    own = MUSL / "musl-gcc.specs"
    own.write_text(specs.replace(f"/lib/{LOADER.name}", str(LOADER)))
    # its own answer is the host's, which makes CPython's `configure` give up
    answer = '[ "$*" = --print-multiarch ] && echo x86_64-linux-musl && exit'
    COMPILER.write_text(f'#!/bin/sh\n{answer}\nexec gcc "$@" -specs {own}\n')
    COMPILER.chmod(0o755)


if __name__ == "__main__":
    sys.exit(end_with(make_missing))
