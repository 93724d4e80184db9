"""Three threads, three locks: each has one and wants the next."""
import threading

forks = [threading.Lock() for _ in range(3)]
seated = [threading.Event() for _ in range(3)]


def philosopher(place):
    with forks[place]:
        seated[place].set()
        for one in seated:
            one.wait()
        with forks[(place + 1) % 3]:  # <-
            pass


for place in range(3):
    threading.Thread(target=philosopher, args=(place,), name="philosopher-%d" % place).start()
