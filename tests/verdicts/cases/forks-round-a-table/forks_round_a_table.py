"""Three philosophers whose forks are in a list."""
import threading

forks = [threading.Lock() for _ in range(3)]
table = threading.Barrier(3)


def dine(seat):
    left, right = seat, (seat + 1) % 3
    forks[left].acquire()
    table.wait()
    forks[right].acquire()  # <-
    forks[right].release()
    forks[left].release()


for seat in range(3):
    threading.Thread(target=dine, args=(seat,)).start()
