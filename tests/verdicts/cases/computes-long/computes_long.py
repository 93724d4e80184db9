"""Computes, in many functions, and takes a lock now and then: nothing is wrong."""
import threading

progress = threading.Lock()
done = [0]


def step(number):
    return sum(i * i for i in range(number % 50))


def compute():
    number = 0
    while True:
        number += 1
        value = step(number)
        with progress:
            done[0] += value


computing = threading.Thread(target=compute, name="compute")
computing.start()
computing.join()
