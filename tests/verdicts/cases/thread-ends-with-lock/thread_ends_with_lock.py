"""A thread ends without giving its lock back."""
import threading

table = threading.RLock()


def update():
    table.acquire()
    return


updating = threading.Thread(target=update, name="update")
updating.start()
updating.join()
table.acquire()  # <-
