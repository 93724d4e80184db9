"""The standard library's threading HTTP server, with a pool of threads and a thread that writes a log from a queue."""

import sys
import threading

try:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from queue import Queue
    from socketserver import ThreadingMixIn
except ImportError:
    from BaseHTTPServer import BaseHTTPRequestHandler, HTTPServer
    from Queue import Queue
    from SocketServer import ThreadingMixIn

from web_app import stuck, work

jobs, lines, go_on = Queue(), Queue(3), threading.Event()


def do_jobs():
    while True:
        jobs.get()()
        jobs.task_done()


def write_lines():
    while True:
        lines.get()


def tick():
    while not go_on.wait(0.5):
        lines.put("still here")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/work":
            for _ in range(3):
                jobs.put(work)
            jobs.join()
            lines.put(self.path)
        elif self.path == "/stuck":
            with stuck:
                with stuck:  # the bug of the broken variant
                    pass
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True


for target in (do_jobs, do_jobs, write_lines, tick):
    thread = threading.Thread(target=target)
    thread.daemon = True
    thread.start()
server = threading.Thread(target=Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever)
server.start()
server.join()
