"""Greenlets, a callback of the hub and a thread of gevent's pool that end by an exception: each says its name."""

import gevent


class Deleted(object):
    def __del__(self):
        raise ValueError("deleted")


def fails(name):
    raise ValueError(name)


def deletes():
    Deleted()


def nested():
    gevent.spawn(fails, "inner").join()
    raise ValueError("outer")


gevent.spawn(fails, "spawned").join()
gevent.spawn_later(0.001, fails, "later").join()
gevent.spawn(nested).join()
gevent.spawn(deletes).join()
gevent.spawn(gevent.sleep, 0).kill()
gevent.get_hub().loop.run_callback(fails, "callback")
gevent.sleep(0.001)
