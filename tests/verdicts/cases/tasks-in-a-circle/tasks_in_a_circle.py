"""A table of what is being loaded: the page needs the menu, the menu needs the page."""

import asyncio

NEEDS = {"page": "menu", "menu": "page"}
loading = {}


async def load(name):
    await asyncio.sleep(0)
    print(name, flush=True)
    return await loading[NEEDS[name]]


async def main():
    loop = asyncio.get_event_loop()
    for name in NEEDS:
        loading[name] = loop.create_task(load(name))
    await asyncio.gather(*loading.values())


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
