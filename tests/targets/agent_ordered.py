# Patches before anything else is imported.
from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402, F401
import threading  # noqa: E402

thread = threading.Thread(target=len, args=("",))
thread.start()
thread.join()
