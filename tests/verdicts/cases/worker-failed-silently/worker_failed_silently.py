"""A worker fails before it sets the event that main waits for."""
import threading

loaded = threading.Event()


def load():
    table = {}
    table["rows"]
    loaded.set()


threading.Thread(target=load, name="loader").start()
loaded.wait()  # <-
