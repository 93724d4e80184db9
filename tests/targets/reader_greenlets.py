"""Patched by gevent: says what `threading` calls itself, in the main greenlet or in another one (argument)."""

import sys

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import threading  # noqa: E402

import gevent  # noqa: E402

read = monkey.get_original("os", "read") if sys.version_info[0] > 2 else __import__("os").read


def tell():
    get_ident = getattr(threading, "get_ident", None) or threading._get_ident
    sys.stdout.write("facts %s\nready\n" % json.dumps([get_ident(), list(threading._active), get_ident.__module__]))
    sys.stdout.flush()
    read(0, 1)


if sys.argv[1] == "main":
    tell()
else:
    gevent.spawn(tell).join()
