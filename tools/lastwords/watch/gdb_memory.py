"""The memory of a process over the gdb that holds it: where the kernel lets gdb read, but not us."""

from __future__ import annotations

from collections.abc import Sequence

from lastwords.capture.gdb import GdbSession
from lastwords.capture.memory import Range, unreadable

MOST = 1 << 20


class GdbMemory:
    """One more `Memory`: slower by a round trip each time, and right."""

    def __init__(self, session: GdbSession, pid: int) -> None:
        self.session = session
        self.pid = pid

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes. Raises ReadError."""
        if not 0 <= size <= MOST:
            raise unreadable(address, size, "more than is read at once")
        answer = self.session.order("read", pid=self.pid, address=address, size=size)
        if "data" not in answer:
            raise unreadable(address, size, str(answer.get("error")))
        return bytes.fromhex(answer["data"])

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """Each range, None where it is not to be had."""
        return [self._read_or_none(*item) for item in ranges]

    def _read_or_none(self, address: int, size: int) -> bytes | None:
        answer = self.session.order("read", pid=self.pid, address=address, size=size)
        return bytes.fromhex(answer["data"]) if "data" in answer else None
