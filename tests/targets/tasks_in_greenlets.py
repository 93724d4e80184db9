"""An event loop that runs in a greenlet, one task of which runs another greenlet; tells, then stands still."""

import asyncio
import json
import os
import sys

import greenlet

tasks = {}


async def idles():
    await asyncio.sleep(1000)


async def through_greenlet():
    """As SQLAlchemy does: code that does not await runs in a greenlet of its own."""
    inner = greenlet.greenlet(tells)
    inner.switch()


def tells():
    found = {key: id(task) for key, task in tasks.items()}
    print("facts " + json.dumps({"pid": os.getpid(), "tasks": found}))
    print("ready", flush=True)
    sys.stdin.readline()


async def makes_tasks():
    loop = asyncio.get_event_loop()
    tasks["idle"] = loop.create_task(idles())
    await asyncio.sleep(0)
    tasks["through"] = loop.create_task(through_greenlet())
    await tasks["through"]


def runs_loop():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tasks["main"] = loop.create_task(makes_tasks())
    loop.run_until_complete(tasks["main"])


greenlet.greenlet(runs_loop).switch()
