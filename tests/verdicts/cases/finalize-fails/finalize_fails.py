"""What is to be cleaned up when an object goes cannot be."""

import weakref


class Cache(object):
    pass


def clean(path):
    raise OSError(5, path)  # <-


cache = Cache()
weakref.finalize(cache, clean, "/nonexistent/cache")
