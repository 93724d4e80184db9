# -*- coding: utf-8 -*-
"""Reads address 16, which nobody has, in a thread, when a line comes."""

import ctypes
import sys
import threading


def fault(depth):
    if depth:
        fault(depth - 1)
    else:
        ctypes.string_at(16)


def wait_and_fault():
    sys.stdin.readline()
    fault(2)


thread = threading.Thread(target=wait_and_fault, name="faulty")
thread.start()
sys.stdout.write("ready\n")
sys.stdout.flush()
thread.join()
