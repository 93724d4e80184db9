"""A bank of two accounts, over HTTP; a thread for each request, a lock for each account. It hangs: see README.md.

GET /transfer?from=alice&to=bob&amount=1    GET /balance?of=alice    GET /ping
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Account:
    """A balance, and the lock that whoever changes it holds."""

    def __init__(self, balance):
        self.balance = balance
        self.lock = threading.Lock()


ACCOUNTS = {"alice": Account(1000), "bob": Account(1000)}


def transfer(source, target, amount):
    """Takes the lock of `source`, then that of `target`: two transfers in opposite directions wait for each other."""
    payer, payee = ACCOUNTS[source], ACCOUNTS[target]
    with payer.lock:
        write_to_ledger(source, target, amount)
        with payee.lock:
            payer.balance -= amount
            payee.balance += amount
            return {"from": payer.balance, "to": payee.balance}


def write_to_ledger(source, target, amount):
    """A disk or a database that takes its time."""
    time.sleep(0.002)


def balance(of):
    with ACCOUNTS[of].lock:
        return {"balance": ACCOUNTS[of].balance}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        asked = dict(parse_qsl(url.query))
        threading.current_thread().name = self.path
        if url.path == "/transfer":
            answer = transfer(asked["from"], asked["to"], int(asked.get("amount", 1)))
        elif url.path == "/balance":
            answer = balance(asked["of"])
        else:
            answer = {"threads": threading.active_count()}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 8000), Handler)
    print("ready: http://127.0.0.1:8000", flush=True)
    server.serve_forever()
