"""A parent waits for its child's end inside a `with` block of a lock of processes."""
import multiprocessing

ledger = multiprocessing.Lock()


def book():
    with ledger:
        pass


if __name__ == "__main__":
    with ledger:
        child = multiprocessing.Process(target=book)
        child.start()
        child.join()  # <-
