"""The only consumer takes a letter, fails, and never says that it is done."""
import threading

try:
    import queue
except ImportError:
    import Queue as queue

letters = queue.Queue()


def send():
    while True:
        letter = letters.get()
        letter["stamp"]
        letters.task_done()


sender = threading.Thread(target=send, name="sender")
sender.daemon = True
sender.start()
letters.put({})
letters.join()  # <-
