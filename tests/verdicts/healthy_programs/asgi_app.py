"""A web application, for servers that speak ASGI."""

import asyncio

from web_app import work


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/work":
        await asyncio.sleep(0.002)
        await asyncio.get_running_loop().run_in_executor(None, work)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
