"""Sends itself signals, real-time ones too, until it gets a line; tells how many it sent and how many came. 2.7 and up.

They are counted in C, by the byte that each of them writes: handlers in Python may run once for several.
"""
import fcntl
import os
import select
import signal
import sys

REAL_TIME = 40
reader, writer = os.pipe()
for end in (reader, writer):
    fcntl.fcntl(end, fcntl.F_SETFL, os.O_NONBLOCK)
signal.set_wakeup_fd(writer)
for number in (signal.SIGUSR1, REAL_TIME):
    signal.signal(number, lambda *_: None)
sent = came = 0
sys.stdout.write("ready\n")
sys.stdout.flush()
while not select.select([0], [], [], 0)[0]:
    for number in (signal.SIGUSR1, REAL_TIME) * 100:
        os.kill(os.getpid(), number)
        sent += 1
    came += len(os.read(reader, 65536))
sys.stdout.write("sent %d came %d\n" % (sent, came))
sys.stdout.flush()
