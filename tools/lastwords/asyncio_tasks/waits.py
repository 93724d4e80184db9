"""What a task awaits: another task, several, a time, a lock or queue of asyncio, or a future that nothing names.

A task is told by the future that it waits for; what stands behind a plain future, the functions of asyncio in which
the task's coroutines are: by their code objects, and by the class of their `self`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from lastwords.asyncio_tasks.classes import Asyncio, Function
from lastwords.asyncio_tasks.futures import TaskState, is_pending, is_task
from lastwords.asyncio_tasks.loops import read_when
from lastwords.asyncio_tasks.objects import read_state
from lastwords.capture.memory import ReadError
from lastwords.cpython.attributes import find_attribute
from lastwords.cpython.frame import Place
from lastwords.cpython.holding.with_blocks import WithBlock, find_with_blocks
from lastwords.cpython.modules import read_module_name
from lastwords.cpython.sets import read_set
from lastwords.cpython.slots import find_slot
from lastwords.cpython.structs import LIST, UNICODE
from lastwords.cpython.text import read_length, read_text
from lastwords.cpython.types import is_subtype, type_name, type_of
from lastwords.model import Certainty

OWN_FRAMES = 8  # of asyncio, at the inner end of a stack
CHILDREN_LIMIT = 10_000
ALL = "ALL_COMPLETED"  # asyncio.wait's return_when
OBJECTS = ("lock", "event", "condition", "semaphore", "barrier", "queue")


class Await(msgspec.Struct):
    """What a task waits for. `kind` and `detail` are those of model.WaitsFor.

    tasks: those that must end before it goes on, all of them; object: a lock or queue, and what it is (`of_class`)
    futures: as `tasks`, of futures that are none
    when: by the loop's clock; has_timeout: it ends by itself
    """

    kind: str
    detail: str
    tasks: list[int] = []
    object: int = 0
    of_class: str = ""
    when: float | None = None
    has_timeout: bool = False
    certainty: Certainty = "certain"
    futures: list[int] = []


def read_await(asyncio: Asyncio, task: TaskState, places: Sequence[Place]) -> Await | None:
    """None where it waits for nothing: it runs, or is about to. `places`: its stack. Raises ReadError."""
    if not task.awaits or not is_pending(asyncio, task.awaits):
        return None
    found = _read_future(asyncio, task.awaits) or _read_frames(asyncio, places) or _describe(asyncio, task.awaits)
    found.futures = found.futures or ([task.awaits] if found.kind == "unknown" else [])
    found.has_timeout = found.has_timeout or _has_timeout(asyncio, places)
    return found


def _read_future(asyncio: Asyncio, future: int) -> Await | None:
    if is_task(asyncio, future):
        return Await("join", "awaits a task", [future])
    if "gathering" not in asyncio.kinds(future):
        return None
    children = find_attribute(asyncio.interp, future, "_children")
    return _wait_for_all(asyncio, "asyncio.gather", _read_list(asyncio, children))


def _wait_for_all(asyncio: Asyncio, function: str, futures: Sequence[int]) -> Await:
    """Of several futures: one that fails may end the wait for the others."""
    pending = [one for one in futures[:CHILDREN_LIMIT] if is_pending(asyncio, one)]
    return Await(
        "join",
        f"{function}: {len(pending)} {'task' if len(pending) == 1 else 'tasks'} not done",
        [one for one in pending if is_task(asyncio, one)],
        certainty="certain" if len(pending) == 1 else "likely",
        futures=[one for one in pending if not is_task(asyncio, one)],
    )


def _read_list(asyncio: Asyncio, address: int | None) -> list[int]:
    interp = asyncio.interp
    if not address or not interp.type_flags(address) & LIST:
        return []
    count = min(read_length(interp, address), CHILDREN_LIMIT)
    return interp.pointers(interp.number(address, "PyListObject", "ob_item"), count) if count else []


def _describe(asyncio: Asyncio, future: int) -> Await:
    name = type_name(asyncio.interp, type_of(asyncio.interp, future))
    return Await("unknown", f"awaits a future ({name})")


def _read_frames(asyncio: Asyncio, places: Sequence[Place]) -> Await | None:
    """By the functions of asyncio that are innermost; of several the outermost, but for a lock that is taken."""
    found: Await | None = None
    for place, function in _own_functions(asyncio, places):
        read = READERS.get(function.name, _read_object)
        one = read(asyncio, place, function)
        found = one or found
        if function.name == "Lock.acquire" and found is not None:
            break
    return found


def _own_functions(asyncio: Asyncio, places: Sequence[Place]) -> Iterator[tuple[Place, Function]]:
    """Those that FUNCTIONS names, as long as all frames further in are asyncio's own."""
    for place in places[:OWN_FRAMES]:
        function = asyncio.functions.get(place.code)
        if function is not None:
            yield place, function
        elif not is_own(asyncio, place):
            return


def find_given_back(asyncio: Asyncio, places: Sequence[Place]) -> int | None:
    """The lock of the Condition whose `wait` a task is in: it gives that back first, and takes it again at its end."""
    for place, function in _own_functions(asyncio, places):
        owner = find_slot(asyncio.interp, place, "self") if function.name == "Condition.wait" else None
        if owner and "condition" in asyncio.kinds(owner):
            return read_state(asyncio, owner, "condition").lock
    return None


def is_own(asyncio: Asyncio, place: Place) -> bool:
    """Whether a frame is of asyncio itself: by the module that its globals name. Raises ReadError."""
    interp = asyncio.interp
    struct = "_PyInterpreterFrame" if interp.has("_PyInterpreterFrame") else "PyFrameObject"
    module = read_module_name(interp, interp.number(place.frame, struct, "f_globals"))
    return (module or "").partition(".")[0] == "asyncio"


def _read_object(asyncio: Asyncio, place: Place, function: Function) -> Await | None:
    """A method of a lock, queue or stream."""
    owner = find_slot(asyncio.interp, place, "self")
    if not owner or function.of_class not in asyncio.kinds(owner):
        return None
    detail = f"asyncio.{function.name}"
    if function.of_class not in OBJECTS:
        return Await("io", detail)
    kind = function.of_class if function.of_class in ("lock", "event", "condition", "queue") else "lock"
    return Await(kind, detail, object=owner, of_class=function.of_class)


def _read_sleep(asyncio: Asyncio, place: Place, _: Function) -> Await:
    handle = find_slot(asyncio.interp, place, "h")
    when = read_when(asyncio, handle) if handle else None
    return Await("sleep", "asyncio.sleep", when=when, has_timeout=True)


def _read_wait_for(asyncio: Asyncio, place: Place, _: Function) -> Await | None:
    """To 3.11, where it waits for a future of its own; later it awaits what it was given."""
    inner = find_slot(asyncio.interp, place, "fut")
    if not inner or not find_slot(asyncio.interp, place, "waiter"):
        return None
    is_one = is_task(asyncio, inner)
    futures = [] if is_one else [inner]
    return Await("join", "asyncio.wait_for", [inner] if is_one else [], has_timeout=True, futures=futures)


def _read_wait(asyncio: Asyncio, place: Place, _: Function) -> Await:
    interp = asyncio.interp
    futures = find_slot(interp, place, "fs")
    found = read_set(interp, futures) if futures and is_subtype(interp, type_of(interp, futures), "set") else []
    timeout = find_slot(interp, place, "timeout_handle")
    mode = find_slot(interp, place, "return_when")
    waits_for_all = bool(mode and interp.type_flags(mode) & UNICODE and read_text(interp, mode, 100) == ALL)
    wait = _wait_for_all(asyncio, "asyncio.wait", found)
    wait.has_timeout = bool(timeout) and not type_of(interp, timeout or 0).is_static("NoneType")
    if not waits_for_all and wait.certainty != "certain":  # any one of them will do
        wait.tasks, wait.futures = [], []
    return wait


def _read_group(asyncio: Asyncio, place: Place, _: Function) -> Await | None:
    interp = asyncio.interp
    group = find_slot(interp, place, "self")
    if not group or "group" not in asyncio.kinds(group):
        return None
    found = find_attribute(interp, group, "_tasks")
    members = read_set(interp, found) if found and is_subtype(interp, type_of(interp, found), "set") else []
    return _wait_for_all(asyncio, "asyncio.TaskGroup", members)


def _read_thread(_asyncio: Asyncio, _place: Place, _: Function) -> Await:
    return Await("unknown", "asyncio.to_thread: a function in a thread")


READERS: dict[str, Callable[[Asyncio, Place, Function], Await | None]] = {
    "sleep": _read_sleep,
    "wait_for": _read_wait_for,
    "_wait": _read_wait,
    "TaskGroup.__aexit__": _read_group,
    "to_thread": _read_thread,
}


def _has_timeout(asyncio: Asyncio, places: Sequence[Place]) -> bool:
    """Whether a frame is inside `async with asyncio.timeout(...)`, as wait_for is from 3.12 on."""
    managers = (block.manager for _, block in find_blocks(asyncio, places))
    return any("timeout" in asyncio.kinds(one) and _is_armed(asyncio, one) for one in managers)


def find_blocks(asyncio: Asyncio, places: Sequence[Place]) -> Iterator[tuple[Place, WithBlock]]:
    """The `with` and `async with` blocks that frames are in, but for those whose code a debugger has changed."""
    for place in places:
        if (place.code, place.lasti) in asyncio.without_blocks:
            continue
        try:
            blocks = find_with_blocks(asyncio.interp, place)
        except ReadError:
            continue
        if not blocks:
            asyncio.without_blocks.add((place.code, place.lasti))
        yield from ((place, block) for block in blocks)


def _is_armed(asyncio: Asyncio, timeout: int) -> bool:
    handler = find_attribute(asyncio.interp, timeout, "_timeout_handler")
    return bool(handler) and not type_of(asyncio.interp, handler or 0).is_static("NoneType")
