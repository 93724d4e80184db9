"""Threads that wait for what coroutines of another thread's loop are to give them. From 3.7 on.

`asker` waits for `answer`, which waits for a thread of a pool. The future of `watcher` has a callback that keeps
hold of that task as well, but the task does not work for it.
"""
import asyncio
import concurrent.futures
import threading

loop = asyncio.get_event_loop_policy().new_event_loop()
never = threading.Event()
tasks = []
begun = threading.Event()


async def answer():
    tasks.append(asyncio.current_task())
    begun.set()
    await loop.run_in_executor(None, never.wait)


def ask():
    asyncio.run_coroutine_threadsafe(answer(), loop).result()


def watch(task):
    def stop(_):
        task.cancel()

    future = concurrent.futures.Future()
    future.add_done_callback(stop)
    future.result()


threading.Thread(target=loop.run_forever, name="loop", daemon=True).start()
threading.Thread(target=ask, name="asker", daemon=True).start()
begun.wait()
threading.Thread(target=watch, args=(tasks[0],), name="watcher", daemon=True).start()
print("ready", flush=True)
never.wait()
