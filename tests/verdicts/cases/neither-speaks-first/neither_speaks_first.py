"""Two processes that each wait for the other to begin."""
import multiprocessing


def answer(connection):
    connection.recv()
    connection.send("hello")


if __name__ == "__main__":
    here, there = multiprocessing.Pipe()
    child = multiprocessing.Process(target=answer, args=(there,))
    child.start()
    there.close()
    here.recv()  # <-
