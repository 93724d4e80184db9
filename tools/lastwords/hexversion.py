"""A release of CPython as one number, as `sys.hexversion` and `Py_Version` have it."""

from __future__ import annotations


def format_version(number: int) -> str:
    """`sys.hexversion` as people write it: "3.11.7", "3.15.0a2"."""
    major, minor, micro, level, serial = (
        number >> 24 & 255, number >> 16 & 255, number >> 8 & 255, number >> 4 & 15, number & 15
    )  # fmt: skip
    suffix = {0xA: f"a{serial}", 0xB: f"b{serial}", 0xC: f"rc{serial}"}.get(level, "")
    return f"{major}.{minor}.{micro}{suffix}"
