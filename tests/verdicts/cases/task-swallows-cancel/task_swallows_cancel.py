"""A poller that tries again whatever happens."""
import asyncio


async def poll():
    while True:
        try:
            await asyncio.sleep(1000)  # <-
        except asyncio.CancelledError:
            pass


async def main():
    poller = asyncio.ensure_future(poll())
    await asyncio.sleep(0.1)
    poller.cancel()
    await poller


asyncio.run(main())
