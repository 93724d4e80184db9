"""Workers wait for jobs; main accepts connections that nobody makes."""
try:
    import queue
except ImportError:
    import Queue as queue
import socket
import threading

jobs = queue.Queue()


def work():
    while True:
        jobs.get()


for number in range(4):
    worker = threading.Thread(target=work, name="worker-%d" % number)
    worker.daemon = True
    worker.start()
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(5)
while True:
    jobs.put(server.accept())
