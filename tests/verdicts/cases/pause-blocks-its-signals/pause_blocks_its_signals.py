"""The signals that are to end pause() are blocked, as a parent's mask may have left them."""
import os
import signal

HANDLED = [signal.SIGTERM, signal.SIGHUP]
for one in HANDLED:
    signal.signal(one, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
os.kill(os.getpid(), signal.SIGHUP)
signal.pause()  # <-
