"""A regular expression that takes for ever, beside a thread that wants to go on."""
import re
import threading
import time


def count():
    while True:
        time.sleep(0.01)


counting = threading.Thread(target=count, name="count")
counting.daemon = True
counting.start()
re.match("(a+)+$", "a" * 60 + "b")  # <-
