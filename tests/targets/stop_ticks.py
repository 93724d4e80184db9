"""Ticks. For each line that it reads it tells how often, and the longest time between two ticks since it told last.

At the end of its input it ends with 7. 2.7 and up.
"""
import sys
import threading
import time

clock = getattr(time, "monotonic", time.time)
ticks = [0, 0.0]


def tick():
    last = clock()
    while True:
        now = clock()
        ticks[:] = [ticks[0] + 1, max(ticks[1], now - last)]
        last = now
        time.sleep(0.001)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


thread = threading.Thread(target=tick)
thread.daemon = True
thread.start()
say("ready")
for number, _ in enumerate(iter(sys.stdin.readline, "")):
    before = ticks[0]
    while ticks[0] < before + 2:  # one that began after the line came
        time.sleep(0.001)
    say("told %d: ticks %d longest %.3f" % (number, ticks[0], ticks[1]))
    ticks[1] = 0.0
sys.exit(7)
