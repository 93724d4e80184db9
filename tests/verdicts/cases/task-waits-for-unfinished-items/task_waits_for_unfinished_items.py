"""A worker takes what is queued and never says that it is done with it."""
import asyncio


async def work(letters):
    while True:
        await letters.get()


async def main():
    letters = asyncio.Queue()
    worker = asyncio.ensure_future(work(letters))
    for letter in "abc":
        letters.put_nowait(letter)
    await letters.join()  # <-
    worker.cancel()


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
