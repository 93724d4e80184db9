"""Workers take turns with a connection: one has its lock and waits for the answer, the others wait for the lock."""

import asyncio


async def work(number, lock):
    while True:
        async with lock:
            print(number, flush=True)
            await asyncio.sleep(0.5)


async def main():
    lock = asyncio.Lock()
    await asyncio.gather(*(work(number, lock) for number in range(5)))


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
