"""Has something of its own wherever a report may show it; all begin with what is before the `-` of the first argument.

The first argument is a name to listen at. Its lines of code hold no secret: they are shown.
Says `ready` when it waits: a thread in accept, with a handled exception, the main thread for its end.
"""

import os
import socket
import sys
import threading

START = sys.argv[1].partition("-")[0]


def serve(listener):
    password = START + "-local"
    try:
        raise ValueError(START + "-exception")
    except ValueError:
        os.write(1, b"ready\n")
        listener.accept()
    return password


listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind("\0" + sys.argv[1])
listener.listen(1)
opened = open(os.path.join(os.getcwd(), START + "-file"), "w")
thread = threading.Thread(target=serve, args=(listener,), name="from " + START + "-name@example.org")
thread.start()
thread.join()
