"""Waits in a Python function that a C library calls: `call_back` of the library that is named first."""
from __future__ import print_function

import ctypes
import sys
import threading

lock = threading.Lock()
lock.acquire()
library = ctypes.CDLL(sys.argv[1])


def wait(number):
    print("ready")
    sys.stdout.flush()
    lock.acquire()
    return number


function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(wait)
library.call_back(function, 1)
