"""A thread with a loop behind it asks that for a result while it has a lock; the coroutine's work needs the lock."""
import asyncio
import threading

ledger = threading.Lock()
loop = asyncio.get_event_loop_policy().new_event_loop()


def book():
    with ledger:  # <-
        return 1


async def transfer():
    return await loop.run_in_executor(None, book)  # <-


def close():
    with ledger:
        return asyncio.run_coroutine_threadsafe(transfer(), loop).result()  # <-


threading.Thread(target=loop.run_forever, name="loop", daemon=True).start()
close()
