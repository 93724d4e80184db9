"""Says the pid of a child that would outlive it."""

import subprocess
import sys

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
sys.stdout.write("child %d\nready\n" % child.pid)  # noqa: UP031 - the targets run on 2.7 too
sys.stdout.flush()
sys.stdin.readline()
