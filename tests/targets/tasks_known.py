"""asyncio tasks in every state, awaiting all that can be awaited; tells of each from inside, then stands still.

`tasks_known.py [c|python|eager]`: tasks made in C, in Python, or begun at once. Says `facts JSON`, then `ready`.
"""

import asyncio
import gc
import json
import os
import socket
import sys
import threading
import types

MODE = sys.argv[1] if len(sys.argv) > 1 else "c"
HAS_NAMES = sys.version_info >= (3, 8)
FOLLOW = ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable")
tasks = {}  # key: task
other = {}


class Awaits(object):
    """Awaits another through `__await__`."""

    def __init__(self, inner, as_generator):
        self.inner, self.as_generator = inner, as_generator

    def __await__(self):
        return self.through() if self.as_generator else self.inner.__await__()

    def through(self):
        return (yield from self.inner.__await__())


@types.coroutine
def by_hand(future):
    for number in (one for one in range(3)):
        yield from future.__await__()
    return number


async def numbers(future):
    try:
        yield 1
        await nested(future, 1)
        yield 2
    finally:
        await asyncio.sleep(0)


async def over_numbers(future):
    async for number in numbers(future):
        others = [number]
    return others


async def next_number(future):
    found = numbers(future)
    await found.__anext__()
    return await found.__anext__()


async def next_or_default(future):
    found = numbers(future)
    await found.__anext__()
    return await anext(found, None)  # noqa: F821 (from 3.10 on)


async def closing(future):
    found = stubborn_numbers(future)
    await found.__anext__()
    await found.aclose()


async def stubborn_numbers(future):
    try:
        yield 1
    finally:
        await future


async def nested(awaited, depth):
    if depth:
        return await nested(awaited, depth - 1)
    return await awaited


async def cleaning_up(event):
    try:
        await asyncio.sleep(1000)
    finally:
        await event.wait()


async def holding(lock, future):
    async with lock:
        await future


async def two_locks(first, second, event):
    async with first:
        event.set()
        await asyncio.sleep(0.01)
        async with second:
            pass


async def on_condition(condition):
    async with condition:
        await condition.wait()


async def awaits_task(name):
    while name not in tasks:
        await asyncio.sleep(0)
    await tasks[name]


async def in_timeout(future):
    async with asyncio.timeout(1000):
        await future


async def in_group(futures):
    async with asyncio.TaskGroup() as group:
        for number, one in enumerate(futures):
            tasks["member-%d" % number] = group.create_task(nested(one, 0))


async def reads(sock):
    reader, writer = await asyncio.open_connection(sock=sock)
    tasks["writer"] = writer
    await reader.readline()


async def idles():
    await asyncio.sleep(1000)


def make_task(key, coroutine):
    loop = asyncio.get_event_loop()
    tasks[key] = loop.create_task(coroutine)
    if HAS_NAMES and not key.startswith("unnamed"):
        tasks[key].set_name(key)


def new_task(loop, coroutine, **options):
    return asyncio.tasks._PyTask(coroutine, loop=loop, **options)


async def make_all():  # noqa: PLR0915 (a list)
    loop = asyncio.get_event_loop()
    never = loop.create_future()
    event, lock, one, two = asyncio.Event(), asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
    full, empty, undone = asyncio.Queue(1), asyncio.Queue(), asyncio.Queue()
    full.put_nowait(1)
    undone.put_nowait(1)
    semaphore, condition = asyncio.Semaphore(0), asyncio.Condition()
    make_task("nested", nested(never, 5))
    make_task("wrapper", nested(Awaits(nested(never, 0), False), 1))
    make_task("generator", nested(Awaits(never, True), 1))
    make_task("by-hand", nested(by_hand(never), 0))
    make_task("async-for", over_numbers(never))
    make_task("anext", next_number(never))
    if sys.version_info >= (3, 10):
        make_task("anext-default", next_or_default(never))
    make_task("aclose", closing(never))
    make_task("unnamed", nested(never, 0))
    make_task("sleep", asyncio.sleep(1000))
    make_task("wait_for-task", asyncio.wait_for(tasks["nested"], 1000))
    make_task("wait_for-event", asyncio.wait_for(event.wait(), 1000))
    make_task("wait_for-ever", asyncio.wait_for(tasks["nested"], None))
    make_task("event", event.wait())
    make_task("lock-holder", holding(lock, never))
    make_task("lock-waiter", holding(lock, never))
    make_task("lock-acquire", lock.acquire())
    make_task("cycle-1", two_locks(one, two, asyncio.Event()))
    make_task("cycle-2", two_locks(two, one, asyncio.Event()))
    make_task("queue-get", empty.get())
    make_task("queue-put", full.put(2))
    make_task("queue-join", undone.join())
    make_task("semaphore", semaphore.acquire())
    make_task("condition", on_condition(condition))
    make_task("gather", nested(asyncio.gather(tasks["nested"], tasks["event"]), 0))
    make_task("wait-all", asyncio.wait([tasks["nested"], tasks["event"]]))
    make_task("wait-first", asyncio.wait([tasks["nested"], tasks["event"]], return_when="FIRST_COMPLETED"))
    make_task("shield", nested(asyncio.shield(tasks["nested"]), 0))
    make_task("task", nested(tasks["nested"], 0))
    make_task("await-1", awaits_task("await-2"))
    make_task("await-2", awaits_task("await-1"))
    if hasattr(asyncio, "TaskGroup"):
        make_task("group", in_group([never, never]))
        make_task("timeout", in_timeout(never))
    ours, theirs = socket.socketpair()
    tasks["theirs"] = theirs
    make_task("stream", reads(ours))
    make_task("executor", nested(loop.run_in_executor(None, threading.Event().wait), 0))
    make_task("cancelling", cleaning_up(event))
    await asyncio.sleep(0.2)
    tasks["cancelling"].cancel()
    await asyncio.sleep(0.1)
    ready = loop.create_future()
    make_task("ready", nested(ready, 1))
    await asyncio.sleep(0.05)
    ready.set_result(1)
    if MODE == "eager":
        loop.set_task_factory(None)
    make_task("unstarted", nested(never, 0))
    make_task("done", asyncio.sleep(0, loop=loop) if sys.version_info < (3, 8) else asyncio.sleep(0))
    tasks["done"].cancel()
    loop.call_later(-1000, print)
    tells()


def tells():
    """Called by the task that runs: nothing else can change until it has read a line."""
    found = [describe(key, one) for key, one in list(tasks.items()) if isinstance(one, asyncio.Future)]
    found += [describe("other", one) for one in other.get("tasks", ())]
    print("facts " + json.dumps({"pid": os.getpid(), "tasks": [one for one in found if one]}))
    print("ready", flush=True)
    sys.stdin.readline()


def describe(key, task):
    if task.done():
        return None
    is_current = key == "main"
    return {
        "key": key,
        "address": id(task),
        "name": task.get_name() if HAS_NAMES else None,
        "stack": [] if is_current else [place(frame) for frame in frames(coroutine_of(task))][::-1],
        "outer": coroutine_of(task).__name__,
        "current": is_current,
        "cancelling": bool(task._must_cancel or (hasattr(task, "cancelling") and task.cancelling())),
    }


def coroutine_of(task):
    return task.get_coro() if HAS_NAMES else task._coro


def place(frame):
    return [frame.f_code.co_name, frame.f_lineno]


def frames(one):
    """From a coroutine inwards, as its own attributes lead."""
    while one is not None:
        kind = type(one).__name__
        if kind in FOLLOW:
            one = next(inner for inner in gc.get_referents(one) if is_chain(inner))
            continue
        prefix = {"coroutine": "cr", "generator": "gi", "async_generator": "ag"}.get(kind)
        frame = getattr(one, prefix + "_frame") if prefix else None
        if frame is None or frame.f_lasti < 0 or not has_begun(one, kind):
            return
        yield frame
        one = getattr(one, "gi_yieldfrom" if prefix == "gi" else prefix + "_await")


def has_begun(one, kind):
    import inspect

    state = {"coroutine": inspect.getcoroutinestate, "generator": inspect.getgeneratorstate}.get(kind)
    return state is None or not state(one).endswith("CREATED")


def is_chain(one):
    return type(one).__name__ in FOLLOW + ("coroutine", "generator", "async_generator")


def run_another(begun):
    """A second loop, in a thread of its own, that waits in its selector."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    other["tasks"] = [loop.create_task(idles())]
    loop.call_later(0.01, begun.set)
    loop.run_until_complete(other["tasks"][0])


def main():
    begun = threading.Event()
    thread = threading.Thread(target=run_another, args=(begun,))
    thread.daemon = True
    thread.start()
    begun.wait()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if MODE == "python":
        loop.set_task_factory(new_task)
        asyncio.Future = asyncio.futures.Future = asyncio.futures._PyFuture
    if MODE == "eager":
        loop.set_task_factory(asyncio.eager_task_factory)
    tasks["main"] = None
    tasks["main"] = loop.create_task(make_all())
    loop.run_until_complete(tasks["main"])


main()
