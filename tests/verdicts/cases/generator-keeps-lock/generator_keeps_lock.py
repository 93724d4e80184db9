"""A generator keeps a lock between two items, and who iterates waits for a thread that needs it."""
import threading

table = threading.Lock()


def rows():
    with table:
        for number in range(3):
            yield number


def update():
    with table:
        pass


def main():
    for _ in rows():
        updating = threading.Thread(target=update)
        updating.start()
        updating.join()  # <-


main()
