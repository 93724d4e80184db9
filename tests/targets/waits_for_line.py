"""Says ready, then what it reads."""

import sys

sys.stdout.write("ready\n")
sys.stdout.flush()
sys.stdout.write("got " + sys.stdin.readline())
