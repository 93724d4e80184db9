"""A Flask application, for its own development server."""

from flask import Flask
from web_app import work

app = Flask(__name__)


@app.route("/")
def hello():
    return "ok"


@app.route("/work")
def do_work():
    return str(work())
