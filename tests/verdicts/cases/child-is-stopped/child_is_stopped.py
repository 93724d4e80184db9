"""A child that somebody has stopped."""
import subprocess
import sys

STOP = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
child = subprocess.Popen([sys.executable, "-c", STOP])
child.wait()  # <-
