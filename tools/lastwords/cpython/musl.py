"""musl's condition variables: who waits on one sleeps on a word of his own stack, not, as with glibc, inside of it.

src/thread/pthread_cond_timedwait.c of musl: a `pthread_cond_t` heads a list of `struct waiter`, the newest first:
`_c_head` at byte 8; waiter{prev, next, int state, int barrier, ...}; the wait is on `barrier`.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastwords.capture.memory import ReadError
from lastwords.cpython.structs import POINTER, Structs

HEAD = 8
PREVIOUS, NEXT, STATE, BARRIER = 0, POINTER, 2 * POINTER, 2 * POINTER + 4
WAITERS_LIMIT = 10_000
STATES = 3  # WAITING, SIGNALED, LEAVING


def find_barriers(structs: Structs, cond: int) -> Iterator[int]:
    """The words on which the waiters of a `pthread_cond_t` sleep; none where it is not musl's.

    What stands there in glibc's is a count of waiters: as an address it leads nowhere, or to no such list.
    """
    try:
        before, waiter = 0, structs.pointer(cond + HEAD)
        for _ in range(WAITERS_LIMIT):
            if not waiter or waiter % POINTER or structs.pointer(waiter + PREVIOUS) != before:
                return
            if int.from_bytes(structs.memory.read(waiter + STATE, 4), "little") >= STATES:
                return
            yield waiter + BARRIER
            before, waiter = waiter, structs.pointer(waiter + NEXT)
    except ReadError:
        return
