"""Main joins a thread with the lock in hand that this thread needs."""
import threading

ledger = threading.RLock()
booked = []


def book():
    with ledger:  # <-
        booked.append(1)


def close():
    with ledger:
        clerk = threading.Thread(target=book, name="clerk")
        clerk.start()
        clerk.join()  # <-


close()
