"""A bank's server: thousands of customers are connected, and the orders of two of them wait for each other."""

from gevent import monkey

monkey.patch_all()

import threading

import gevent
from gevent.queue import Queue
from gevent.server import StreamServer

CUSTOMERS = 2000

accounts, journal = threading.Lock(), threading.Lock()


def transfer():
    with accounts:
        gevent.sleep(0.1)  # asks another service
        with journal:
            pass


def audit():
    with journal:
        gevent.sleep(0.1)
        with accounts:
            pass


def session(orders):
    while True:
        order = orders.get()
        order()


def handle(connection, address):
    connection.sendall(b"hello\n")


customers = [Queue() for _ in range(CUSTOMERS)]
for number, orders in enumerate(customers):
    gevent.spawn(session, orders).name = "customer-%d" % number
server = StreamServer(("127.0.0.1", 0), handle)
server.start()
gevent.sleep(0)  # all of them wait for orders
customers[4].put(transfer)
customers[1203].put(audit)
while not (accounts.locked() and journal.locked()):
    gevent.sleep(0.1)
print("ready", flush=True)
server.serve_forever()
