"""N threads: `busy N` compute, `wait N` wait for ever, `churn N` start and end others; `exec N` execs itself N times.

`epoll N` wait a thousand times a second, and it is told at the end how often that was interrupted (2.7 shows it).
Ends with 7 at the end of its input, or when it has executed itself N times. 2.7 and up.
"""
import os
import select
import sys
import threading

threading.stack_size(256 * 1024)


def compute():
    number = 0
    while True:
        number += sum(range(100))


def begin(target):
    thread = threading.Thread(target=target)
    thread.daemon = True
    thread.start()
    return thread


def churn():
    while True:
        for thread in [begin(int) for _ in range(3)]:
            thread.join()


def wait_shortly():
    epoll = select.epoll()
    while True:
        try:
            epoll.poll(0.0011)
        except IOError:
            interrupted.append(1)


interrupted = []
way, count = sys.argv[1], int(sys.argv[2])
if way == "exec":
    if not count:
        sys.exit(7)
    begin(threading.Event().wait)
    os.execv(sys.executable, [sys.executable, __file__, way, str(count - 1)])
for _ in range(count):
    begin({"epoll": wait_shortly, "busy": compute, "wait": threading.Event().wait, "churn": churn}[way])
sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdin.readline()
sys.stdout.write("interrupted %d\n" % len(interrupted))
sys.stdout.flush()
os._exit(7)
