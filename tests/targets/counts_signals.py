# Counts every signal that it can handle, says its pid, and tells what it counted for each line that it reads.
# Its argument: `handle`; or `ignore`, `block`, `default` for SIGINT alone; `wait` takes SIGINT by sigwait.
import os
import signal
import sys

NEVER = (signal.SIGKILL, signal.SIGSTOP, 32, 33)  # 32 and 33 are glibc's own
came = []


def handler(number, frame):
    came.append(number)


def count():
    """Of those that came since the last time; one that comes meanwhile is for the next."""
    number = len(came)
    now = came[:number]
    del came[:number]
    return sorted((int(one), now.count(one)) for one in set(now))


def read_line():
    line = b""
    while not line.endswith(b"\n"):
        try:
            more = os.read(0, 1)
        except OSError:  # 2.7: EINTR
            continue
        if not more:
            break
        line += more
    return line


way = sys.argv[1]
for number in range(1, signal.NSIG):
    if number not in NEVER and (number != signal.SIGINT or way == "handle"):
        try:
            signal.signal(number, handler)
        except (ValueError, OSError, RuntimeError):
            continue
if way == "ignore":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
elif way in ("block", "wait"):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
elif way == "default":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
os.write(1, ("ready %d\n" % os.getpid()).encode())
if way == "wait":
    os.write(1, ("took %d\n" % signal.sigwait([signal.SIGINT])).encode())
while read_line():
    pending = sorted(map(int, signal.sigpending())) if hasattr(signal, "sigpending") else []
    os.write(1, ("counts %s pending %s\n" % (count(), pending)).encode())
