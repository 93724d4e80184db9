"""Coroutines that keep locks of threads while they await, each in its way, and a thread that waits for each lock.

The functions are called by how they keep the lock of the same name: of `unknown` it cannot be told which it is, and
`ended` has ended with its own. From 3.7 on.
"""
import asyncio
import contextlib
import threading

WAYS = ("block", "inner", "manager", "asynchronous", "iteration", "calls", "stack", "unknown", "ended")
locks = {name: threading.Lock() for name in WAYS}


async def block(never):
    with locks["block"]:
        await never


async def inner(never):
    async def deeper():
        with locks["inner"]:
            await never

    await deeper()


@contextlib.contextmanager
def in_manager():
    with locks["manager"]:
        yield


async def manager(never):
    with in_manager():
        await never


@contextlib.asynccontextmanager
async def in_asynchronous():
    with locks["asynchronous"]:
        yield


async def asynchronous(never):
    async with in_asynchronous():
        await never


async def in_iteration():
    with locks["iteration"]:
        yield 1


async def iteration(never):
    async for _ in in_iteration():
        await never


async def calls(never):
    locks["calls"].acquire()
    await never
    locks["calls"].release()


async def stack(never):
    with contextlib.ExitStack() as entered:
        entered.enter_context(locks["stack"])
        await never


def find(name):
    return locks[name]


async def unknown(never):
    find("unknown").acquire()
    await never


async def ended(never):
    getattr(locks["ended"], "acquire")()


def wait(lock):
    with lock:
        pass


async def main():
    never = asyncio.get_event_loop().create_future()
    tasks = [asyncio.ensure_future(globals()[name](never)) for name in WAYS]
    await asyncio.sleep(0.01)  # each has come to its await
    for name in WAYS:
        threading.Thread(target=wait, args=(locks[name],), name=name, daemon=True).start()
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.get_event_loop_policy().new_event_loop().run_until_complete(main())
