"""Sends transfers: first in one direction, then in both at once, until the service does not answer any more."""

import itertools
import sys
import threading
import time
from urllib.error import URLError
from urllib.request import urlopen

SERVICE = "http://127.0.0.1:8000"
ALICE_PAYS, BOB_PAYS = "/transfer?from=alice&to=bob", "/transfer?from=bob&to=alice"
START, PATIENCE = 30, 3  # seconds for the service to come up, and for one answer

numbers = itertools.count(1)
hung = threading.Event()


def ask(path):
    with urlopen(SERVICE + path, timeout=PATIENCE) as answer:
        return answer.read().decode()


def wait_for_service():
    end = time.monotonic() + START
    while True:
        try:
            return ask("/ping")
        except URLError:
            if time.monotonic() > end:
                sys.exit(f"{SERVICE} did not come up in {START} seconds")
            time.sleep(0.1)


def transfer_until_it_hangs(path):
    while not hung.is_set():
        try:
            ask(f"{path}&id={next(numbers)}")
        except OSError:  # no answer in time
            hung.set()


wait_for_service()
for _ in range(100):
    ask(f"{ALICE_PAYS}&id={next(numbers)}")
print("100 transfers from alice to bob: all answered. Now in both directions.", flush=True)
threads = [threading.Thread(target=transfer_until_it_hangs, args=(path,)) for path in (ALICE_PAYS, BOB_PAYS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"No answer for {PATIENCE} seconds. It is not dead: /ping says {ask('/ping')}", flush=True)
