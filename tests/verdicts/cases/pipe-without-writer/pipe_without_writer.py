"""Waits for an answer of a server that does not answer."""
import socket

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(5)
client = socket.create_connection(server.getsockname())
client.sendall(b"hello")
client.recv(10)  # <-
