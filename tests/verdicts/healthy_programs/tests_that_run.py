"""Tests that take as long as they are looked at: in a computation, in a sleep, in a child, in a pool of threads."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from web_app import work


@pytest.fixture(scope="session", autouse=True)
def ready():
    with open(os.path.join(os.environ["LASTWORDS_FOLDER"], "ready"), "w"):
        yield


@pytest.mark.parametrize("number", range(100000))
def test_some_work(number):
    if os.environ["LASTWORDS_STATE"] == "idle":
        time.sleep(3600)
    work()
    time.sleep(0.01)
    with ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(lambda _: work(), range(9)))) == 9
    if number % 50 == 0:
        subprocess.run([sys.executable, "-c", "pass"], check=True)
