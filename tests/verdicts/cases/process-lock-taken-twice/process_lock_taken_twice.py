"""A lock of processes that its own thread takes again."""
import multiprocessing


def save(guard):
    with guard:  # <-
        pass


if __name__ == "__main__":
    guard = multiprocessing.Lock()
    guard.acquire()
    save(guard)  # <-
