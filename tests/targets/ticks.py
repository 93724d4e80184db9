# Says its pid and then ticks, with a thread beside it; tells of SIGCONT and SIGWINCH. Ends after a minute. 2.7 and up.
import fcntl
import os
import signal
import struct
import termios
import threading
import time


def size():
    return struct.unpack("HH", fcntl.ioctl(0, termios.TIOCGWINSZ, b"0000"))


def say(text):
    os.write(1, (text + "\n").encode())


thread = threading.Thread(target=time.sleep, args=(60,))
thread.daemon = True
thread.start()
signal.signal(signal.SIGCONT, lambda *_: say("continued"))
signal.signal(signal.SIGWINCH, lambda *_: say("size %d %d" % size()))
say("ready %d, a terminal %s, of size %r, ours %s" % (
    os.getpid(), [os.isatty(fd) for fd in (0, 1, 2)], size(), os.tcgetpgrp(0) == os.getpgrp()))
for number in range(1200):
    say("tick %d" % number)
    time.sleep(0.05)
