"""A thread starts a child by vfork, which shares its memory, and waits there to open the FIFO that it is told."""

import os
import sys
import threading

fifo = sys.argv[1]
opened = [(os.POSIX_SPAWN_OPEN, 9, fifo, os.O_RDONLY, 0)]
spawner = threading.Thread(target=os.posix_spawn, args=("/bin/true", ["true"], {}), kwargs={"file_actions": opened})
spawner.daemon = True
sys.stdout.write("ready\n")
sys.stdout.flush()
spawner.start()
spawner.join()
