"""Starts programs from a process with threads: three Pythons that swallow an exception, and things that are none."""
import subprocess
import sys
import threading

CHILD = """
class Failing(object):
    def __del__(self): raise ValueError("in a child")
Failing()
raise SystemExit(3)
"""

if __name__ == "__main__":
    go_on = threading.Event()
    other = threading.Thread(target=go_on.wait)
    other.start()
    for _ in range(3):
        assert subprocess.call(["/bin/true"]) == 0
        assert subprocess.call([sys.executable, "-c", CHILD]) == 3
    go_on.set()
    other.join()
