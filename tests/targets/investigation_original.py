"""The original case: `threading` is imported before gevent patches it, so nobody finds the main thread at exit."""

import threading

import gevent.monkey

gevent.monkey.patch_thread()
