"""An asyncio server by itself, with a queue, a lock and a pool of threads: python tasks_serve.py PORT."""

import asyncio
import sys

from web_app import work


async def consume(queue):
    while True:
        await queue.get()
        queue.task_done()


async def answer(reader, writer, queue, lock):
    request = await reader.readline()
    if b"/work" in request:
        async with lock:
            await asyncio.sleep(0.002)
        await asyncio.get_event_loop().run_in_executor(None, work)
        await asyncio.gather(*[queue.put(number) for number in range(5)])
        await queue.join()
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()
    writer.close()


async def main():
    queue, lock = asyncio.Queue(3), asyncio.Lock()
    consumers = [asyncio.ensure_future(consume(queue)) for _ in range(2)]
    await asyncio.start_server(
        lambda reader, writer: answer(reader, writer, queue, lock), "127.0.0.1", int(sys.argv[1])
    )
    await asyncio.gather(*consumers)


asyncio.get_event_loop_policy().new_event_loop().run_until_complete(main()) if sys.version_info < (
    3,
    7,
) else asyncio.run(main())
