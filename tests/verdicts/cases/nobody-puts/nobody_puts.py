"""The only producer has ended; the consumer waits for ever."""
try:
    import queue
except ImportError:
    import Queue as queue
import threading

letters = queue.Queue()


def produce():
    letters.put("a")


producing = threading.Thread(target=produce)
producing.start()
producing.join()
letters.get()
letters.get()  # <-
