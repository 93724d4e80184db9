# Two exceptions leave threads, and a call into C raises at exit.
import atexit
import threading


class Loud(Exception):
    def __str__(self):
        raise SystemError("nobody may ask")


def fails(error):
    try:
        raise KeyError("inner")
    except KeyError:
        raise error


def bye():
    lock = threading.Lock()
    try:
        lock.release()
    except Exception:
        pass


atexit.register(bye)
for name, error in (("one", ValueError("x")), ("two", Loud(7, "text"))):
    thread = threading.Thread(target=fails, args=(error,), name=name)
    thread.start()
    thread.join()
