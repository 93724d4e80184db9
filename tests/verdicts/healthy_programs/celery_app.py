"""A celery application on the broker of the test; `python celery_app.py` gives it work, on and on."""

import os
import time

from celery import Celery, signals

FOLDER = os.environ["LASTWORDS_FOLDER"]
app = Celery("work", broker="redis+socket://%s/redis" % FOLDER, backend="redis+socket://%s/redis" % FOLDER)


@signals.worker_ready.connect
def tell(**_):
    open(os.path.join(FOLDER, "ready"), "w").close()


@app.task
def add(left, right):
    time.sleep(0.005)
    return left + right


def main():
    while True:
        results = [add.delay(number, number) for number in range(20)]
        for result in results:
            result.get(timeout=30)


if __name__ == "__main__":
    main()
