"""A library starts a thread when it is imported, before gevent patches."""
import threading

never = threading.Event()
exporter = threading.Thread(target=never.wait, name="exporter")
exporter.daemon = True
exporter.start()

from gevent import monkey

monkey.patch_all()
import time

time.sleep(100000)
