"""A native thread is alive when gevent patches: at its end it is not found again."""
import threading

go = threading.Event()
early = threading.Thread(target=go.wait, name="early")
early.start()

from gevent import monkey

monkey.patch_all()  # <-

go.set()
early.join()
