"""A job of the thread pool starts a process, which gevent can watch for in the main thread alone."""
from gevent import monkey

monkey.patch_all()

import subprocess

import gevent


def version():
    return subprocess.check_output(["true"])  # <-


gevent.get_hub().threadpool.apply(version)
