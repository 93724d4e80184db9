"""A gevent server: 200 connections, each in a greenlet that waits for a request, and so many MB of objects beside."""

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

CONNECTIONS = 200
served = []


def handle(connection, address):
    served.append(address)
    for line in connection.makefile():
        connection.sendall(line.encode())


heap = [{"number": number, "text": "%d" % number * 100} for number in range(int(sys.argv[1]) << 10)]  # 1 KB each
server = StreamServer(("127.0.0.1", 0), handle)
server.start()
clients = [socket.create_connection(server.address) for _ in range(CONNECTIONS)]
while len(served) < CONNECTIONS:
    gevent.sleep(0.01)
print("ready")
sys.stdout.flush()
server.serve_forever()
