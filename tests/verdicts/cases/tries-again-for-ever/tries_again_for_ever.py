"""Tries for a lock again and again; who holds it waits for the one that tries."""
import threading

door = threading.Lock()


def enter():
    while not door.acquire(False):  # <-
        pass
    door.release()


with door:
    entering = threading.Thread(target=enter, name="visitor")
    entering.start()
    entering.join()  # <-
