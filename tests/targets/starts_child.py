"""Says the pid of a child that would outlive it."""

import subprocess
import sys

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
sys.stdout.write("child %d\nready\n" % child.pid)
sys.stdout.flush()
sys.stdin.readline()
