"""Debug symbols of one CPython, judged: what there is, and the commands that bring the rest, by who built it."""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.machine.distribution import Distribution
from lastwords.capture.machine.symbols import Symbols
from lastwords.cli.check import Check

# By ID of os-release: the command that installs them, with {release} of the interpreter ("3.11").
PACKAGES = {
    "debian": "sudo apt-get install python{release}-dbg libc6-dbg",
    "fedora": "sudo dnf debuginfo-install python3",
    "rhel": "sudo dnf debuginfo-install python3",
    "alpine": "sudo apk add python3-dbg musl-dbg",
    "suse": "sudo zypper install python3-debuginfo",
    "opensuse": "sudo zypper install python3-debuginfo",
}
SERVERS = {
    "ubuntu": "https://debuginfod.ubuntu.com",
    "debian": "https://debuginfod.debian.net",
    "fedora": "https://debuginfod.fedoraproject.org",
    "arch": "https://debuginfod.archlinux.org",
    "suse": "https://debuginfod.opensuse.org",
    "opensuse": "https://debuginfod.opensuse.org",
}
# By who built it, where that is no distribution: what is known of its symbols, and what to type.
BUILDERS = {
    "conda": ("conda's Pythons come stripped, and no package with their symbols is known here", ""),
    "python-build-standalone": (
        "uv installs the stripped archives (install_only_stripped) of python-build-standalone",
        "# unpack cpython-{release}...-install_only.tar.gz of the same date instead, it has them:\n"
        "https://github.com/astral-sh/python-build-standalone/releases",
    ),
    "pyenv": ("CPython's own flags have -g: they were taken out after it was built", "pyenv install --force VERSION"),
    "nix": ("Nix keeps them in an output of their own", "nix-build '<nixpkgs>' -A python{digits}.debug"),
    "/usr/local": (
        "built there and stripped, as the official python images are: no package has its symbols",
        "make image PYTHON={release}    # lastwords' own image of that release has them",
    ),
}


def check_symbols(symbols: Symbols | None, servers: str | None) -> Iterator[Check]:
    """`servers`: DEBUGINFOD_URLS, None where it is not set."""
    if symbols is None:
        yield Check("symbols", "note", "its file could not be looked at")
        return
    identity = f"build-id {symbols.build_id}" if symbols.build_id else "no build-id"
    if symbols.is_complete:
        where = "in it" if symbols.has_dwarf else f"in {symbols.debug_file}"
        yield Check("symbols", "ok", f"debug symbols of {symbols.path} are {where} ({identity})")
        return
    left = "its functions have names (.symtab)" if symbols.has_symtab else "stripped: exported names only"
    known = f"; {BUILDERS[symbols.builder][0]}" if symbols.builder else ""
    fact = f"no debug symbols of {symbols.path} ({identity}), {left}{known}. lastwords does without them"
    yield Check("symbols", "note", fact, "\n".join(find_ways(symbols, servers)))


def find_ways(symbols: Symbols, servers: str | None) -> Iterator[str]:
    """The commands that bring debug symbols of this very build, the surest first."""
    release = symbols.release or "3"
    if symbols.builder is not None:
        command = BUILDERS[symbols.builder][1].format(release=release, digits=release.replace(".", ""))
        yield from command.splitlines()
        return
    package = _look_up(PACKAGES, symbols.distribution)
    if package is not None:
        yield package.format(release=release)
    yield from _servers(symbols, servers)


def _servers(symbols: Symbols, servers: str | None) -> Iterator[str]:
    """By way of debuginfod: gdb and drgn ask the servers of DEBUGINFOD_URLS for a build-id."""
    if symbols.build_id is None:
        return
    server = _look_up(SERVERS, symbols.distribution)
    if servers:
        yield f"debuginfod-find debuginfo {symbols.build_id}    # DEBUGINFOD_URLS is {servers}"
    elif server is not None:
        yield f"DEBUGINFOD_URLS={server} debuginfod-find debuginfo {symbols.build_id}"


def _look_up(table: dict[str, str], distribution: Distribution | None) -> str | None:
    ids = distribution.ids if distribution else ()
    return next((table[one] for one in ids if one in table), None)
