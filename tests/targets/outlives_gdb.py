"""Says ready, and after a line on stdin does all that would meet a breakpoint that a gdb has left behind.

With an argument a forked child does it, which outlives the program.
"""

import os
import sys
import threading


class Failing(object):
    def __del__(self):
        raise ValueError("swallowed")


if __name__ == "__main__":
    if sys.argv[1:] and os.fork():
        os._exit(0)
    go_on = threading.Event()
    other = threading.Thread(target=go_on.wait)
    other.start()
    print("ready")
    sys.stdout.flush()
    sys.stdin.readline()
    Failing()  # the breakpoints in libpython
    import sqlite3  # noqa: F401  the loader's

    pid = os.fork()
    if pid == 0:
        Failing()
        os._exit(7)
    print("child %d" % os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
    go_on.set()
    other.join()
