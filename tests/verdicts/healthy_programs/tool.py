"""A program and its tool, which answers line by line: python tool.py idle|busy.

When busy both work for some milliseconds, and one of them always waits for the other. When idle the tool waits for
work, and the program for its next job, which comes once an hour.
"""

import os
import subprocess
import sys
import time


def work():
    end = time.perf_counter() + 0.004
    while time.perf_counter() < end:
        pass


if sys.argv[1] == "tool":
    for line in iter(sys.stdin.readline, ""):
        work()
        sys.stdout.write(line)
        sys.stdout.flush()
    sys.exit()
tool = subprocess.Popen([sys.executable, __file__, "tool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
while True:
    tool.stdin.write(b"job\n")
    tool.stdin.flush()
    assert tool.stdout.readline() == b"job\n"
    open(os.path.join(os.environ["LASTWORDS_FOLDER"], "ready"), "w").close()
    if sys.argv[1] == "busy":
        work()
    else:
        time.sleep(3600)
