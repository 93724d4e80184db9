"""The tool has got its line, and goes on to wait for more; the only task waits for the tool's end."""
import asyncio
from asyncio.subprocess import PIPE


async def main():
    tool = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    tool.stdin.write(b"a line\n")
    await tool.wait()  # <-


asyncio.run(main())
