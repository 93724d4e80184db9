"""Ctrl-C while the interpreter, on its way out, joins a thread that waits for ever."""
import os
import queue
import signal
import sys
import threading
import time

orders = queue.Queue()


def serve():
    orders.get()  # <-


def interrupt_the_exit():
    frame = None
    while frame is None:
        time.sleep(0.05)
        frame = sys._current_frames().get(main)
        while frame is not None and frame.f_code is not shutdown:
            frame = frame.f_back
    os.kill(os.getpid(), signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
shutdown = threading._shutdown.__code__
main = threading.current_thread().ident
threading.Thread(target=serve, name="server").start()
threading.Thread(target=interrupt_the_exit, daemon=True).start()
