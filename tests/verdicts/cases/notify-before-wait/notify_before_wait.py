"""notify() while nobody waits yet, then wait() without looking."""
import threading

arrived = threading.Condition()


def announce():
    with arrived:
        arrived.notify_all()


announcing = threading.Thread(target=announce)
announcing.start()
announcing.join()
with arrived:
    arrived.wait()  # <-
