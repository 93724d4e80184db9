"""A coroutine takes the lock that its caller holds already."""
import asyncio


async def save(book):
    async with book:  # <-
        pass


async def main():
    book = asyncio.Lock()
    async with book:
        await save(book)


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
