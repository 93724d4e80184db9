"""asyncio: tasks, what they await, and event loops, from outside (Lib/asyncio, Modules/_asynciomodule.c)."""
