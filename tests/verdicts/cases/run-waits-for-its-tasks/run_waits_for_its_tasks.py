"""main is over, a poller is not."""
import asyncio


async def poll():
    while True:
        try:
            await asyncio.sleep(1000)  # <-
        except BaseException:
            pass


async def main():
    asyncio.ensure_future(poll())
    await asyncio.sleep(0.1)


asyncio.run(main())
