"""C code that aborts."""
import ctypes


def crash():
    ctypes.CDLL(None).abort()  # <-


crash()
