"""fork() while another thread is inside a lock: the child has the lock, and nobody to free it."""
import os
import threading

buffer_lock = threading.Lock()
inside, leave = threading.Event(), threading.Event()


def fill():
    with buffer_lock:
        inside.set()
        leave.wait()


threading.Thread(target=fill, name="fill").start()
inside.wait()
child = os.fork()
if not child:
    with buffer_lock:  # <-
        os._exit(0)
leave.set()
os.waitpid(child, 0)
