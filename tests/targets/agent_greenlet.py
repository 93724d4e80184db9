# An exception leaves a greenlet.
import gevent


def fails():
    raise ValueError("in a greenlet")


gevent.spawn(fails).join()
