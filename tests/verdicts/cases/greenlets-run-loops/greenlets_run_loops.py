"""Two greenlets of one thread run an asyncio loop each."""
from gevent import monkey

monkey.patch_all()

import asyncio

import gevent


async def fetch():
    await asyncio.sleep(0.3)


def client():
    asyncio.run(fetch())  # <-


gevent.joinall([gevent.spawn(client), gevent.spawn(client)])
