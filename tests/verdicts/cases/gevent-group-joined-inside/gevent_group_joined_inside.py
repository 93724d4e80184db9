"""The last worker tidies up when all are done."""
import gevent
from gevent.pool import Group

workers = Group()


def tidy_up():
    workers.join()  # <-


gevent.spawn(gevent.sleep, 1000)
workers.spawn(tidy_up).join()
