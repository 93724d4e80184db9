"""A coroutine that waits for a thread without await."""
import asyncio
import threading

stop = threading.Event()


async def finish(thread):
    thread.join()  # <-


async def main():
    saving = threading.Thread(target=stop.wait, name="saving")
    saving.start()
    await asyncio.gather(finish(saving), set_later())


async def set_later():
    await asyncio.sleep(0.1)
    stop.set()


asyncio.get_event_loop_policy().new_event_loop().run_until_complete(main())
