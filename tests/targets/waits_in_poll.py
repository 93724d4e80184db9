"""Polls a pipe of its own, with a timeout; says which."""

import os
import select
import sys

if __name__ == "__main__":
    read, write = os.pipe()
    poll = select.poll()
    poll.register(read, select.POLLIN)
    sys.stdout.write("polls %d\nready\n" % read)
    sys.stdout.flush()
    poll.poll(1000000)
