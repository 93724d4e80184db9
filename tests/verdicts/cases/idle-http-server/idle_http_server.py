"""An HTTP server that nobody asks."""
try:
    from http.server import BaseHTTPRequestHandler, HTTPServer
except ImportError:
    from BaseHTTPServer import BaseHTTPRequestHandler, HTTPServer

HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler).serve_forever()
