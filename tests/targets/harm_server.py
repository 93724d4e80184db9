"""A small HTTP server on loopback: `harm_server.py threads|gevent FILE`. It says "ready PORT". 2.7 and up.

Each answer is what was asked for, so that a wrong one is seen. A thread of its own ticks a thousand times a second and
keeps in FILE the longest time in seconds between two ticks, as a double, and then the number of ticks. Whoever writes
zeros there begins anew.
"""
import mmap
import struct
import sys
import time

try:
    import _thread
except ImportError:
    import thread as _thread

clock = getattr(time, "monotonic", time.time)


def tick(longest, sleep=time.sleep):
    last = clock()
    while True:
        sleep(0.001)
        now = clock()
        gap, ticks = struct.unpack_from("dq", longest)
        struct.pack_into("dq", longest, 0, max(gap, now - last), ticks + 1)
        last = now


with open(sys.argv[2], "r+b") as file:
    _thread.start_new_thread(tick, (mmap.mmap(file.fileno(), 16),))

if sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()


def work(path):
    return repr((path, sum(number % 7 for number in range(300)))).encode()


def serve_threads():
    try:
        from http.server import BaseHTTPRequestHandler
        from http.server import ThreadingHTTPServer as Server
    except ImportError:
        from BaseHTTPServer import BaseHTTPRequestHandler, HTTPServer
        from SocketServer import ThreadingMixIn

        class Server(ThreadingMixIn, HTTPServer):
            daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = work(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    say(server.server_address[1])
    server.serve_forever()


def serve_gevent():
    from gevent.pywsgi import WSGIServer

    def answer(environ, start):
        body = work(environ["PATH_INFO"])
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    server = WSGIServer(("127.0.0.1", 0), answer, log=None)
    server.start()
    say(server.server_port)
    server.serve_forever()


def say(port):
    sys.stdout.write("ready %d\n" % port)
    sys.stdout.flush()


serve_gevent() if sys.argv[1] == "gevent" else serve_threads()
