"""Today's case: a thread is older than gevent's patch, and cannot find itself when it ends."""

import os
import threading

patched, tell_patched = os.pipe()


def export():
    """Like the exporter thread of a metrics library: waits in C while the program goes on."""
    os.read(patched, 1)


exporter = threading.Thread(target=export, name="exporter")
exporter.start()

from gevent import monkey

monkey.patch_all()
os.write(tell_patched, b"x")
exporter.join()
