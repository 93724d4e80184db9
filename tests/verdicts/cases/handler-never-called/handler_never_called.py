"""CPython 2.7: join() without a timeout is a wait in C that no signal ends."""
import os
import signal
import threading

never = threading.Event()
told = threading.Event()


def end(signum, frame):
    os._exit(0)


def serve():
    told.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    never.wait()


signal.signal(signal.SIGTERM, end)
server = threading.Thread(target=serve, name="server")
server.daemon = True
server.start()
timer = threading.Timer(0.5, told.set)
timer.start()
server.join()  # <-
