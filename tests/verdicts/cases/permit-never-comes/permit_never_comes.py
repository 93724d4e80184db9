"""The thread that was to give a permit fails before it does."""
import threading

permits = threading.Semaphore(0)


def prepare():
    open("/nowhere/at/all")
    permits.release()


threading.Thread(target=prepare).start()
permits.acquire()  # <-
