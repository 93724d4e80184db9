"""A coroutine awaits, with a lock of threads in hand, work in a thread that needs the lock."""
import asyncio
import threading

cache = threading.Lock()


def load():
    with cache:  # <-
        return 1


async def refresh():
    with cache:
        await asyncio.get_event_loop().run_in_executor(None, load)  # <-


asyncio.get_event_loop_policy().new_event_loop().run_until_complete(refresh())
