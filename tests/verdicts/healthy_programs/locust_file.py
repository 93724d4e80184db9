"""Users of locust, and in the same process the server that they ask."""

import os

from gevent.pywsgi import WSGIServer
from locust import HttpUser, constant, events, task
from web_app import application

server = WSGIServer(("127.0.0.1", 0), application, log=None)


@events.init.add_listener
def serve(environment, **_):
    server.start()


@events.request.add_listener
def tell(**_):
    open(os.path.join(os.environ["LASTWORDS_FOLDER"], "ready"), "w").close()


class Visitor(HttpUser):
    host = "http://127.0.0.1"
    wait_time = constant(0.05)

    @task
    def look(self):
        self.client.get("http://127.0.0.1:%d/work" % server.server_port)
