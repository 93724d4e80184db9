"""Two threads have the two ends of a connection, and each waits for the other to begin."""
import socket
import threading

ours, theirs = socket.socketpair()


def serve():
    theirs.sendall(theirs.recv(1))  # <-


threading.Thread(target=serve).start()
ours.recv(1)
