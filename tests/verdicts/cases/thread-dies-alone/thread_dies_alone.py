"""A thread ends by an exception; nobody waits for what it did."""

import threading

settings = {}


def load():
    return settings["path"]  # <-


loader = threading.Thread(target=load, name="loader")
loader.start()
loader.join()
