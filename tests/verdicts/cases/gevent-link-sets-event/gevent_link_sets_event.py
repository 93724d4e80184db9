"""A greenlet whose end is told by link(); nothing that it calls itself knows of it."""
import gevent
from gevent.event import Event


def work():
    gevent.sleep(1000)


def main():
    over = Event()
    gevent.spawn(work).link(lambda _: over.set())
    over.wait()


main()
