"""Two coroutines of one loop share a lock of threads, and one keeps it while it awaits."""
import asyncio
import threading

account = threading.Lock()


async def transfer(done):
    with account:
        await done.wait()  # <-


async def deposit(done):
    await asyncio.sleep(0)
    with account:  # <-
        done.set()


async def main():
    done = asyncio.Event()
    await asyncio.gather(transfer(done), deposit(done))


asyncio.get_event_loop_policy().new_event_loop().run_until_complete(main())
