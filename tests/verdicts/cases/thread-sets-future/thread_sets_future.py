"""A thread gives a future its result by itself, which does not wake the event loop."""
import asyncio
import threading


async def main():
    answer = asyncio.get_event_loop().create_future()
    threading.Timer(0.2, answer.set_result, [42]).start()
    await answer  # <-


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
