"""lastwords: what a Python process was trying to say when it died, or why it will not die.

report = lastwords.attach(4711)           # a live process, stopped for milliseconds
report = lastwords.load("report.json")    # a saved report, or a core file
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lastwords.library import attach, load

__version__ = "0.1.0"
__all__ = ["__version__", "attach", "load"]


def __getattr__(name: str) -> object:
    """The library's functions are loaded when they are asked for: `import lastwords` costs nothing."""
    if name in __all__:
        return getattr(import_module("lastwords.library"), name)
    raise AttributeError(f"module 'lastwords' has no attribute {name!r}")
