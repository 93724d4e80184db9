"""The program's own hook for what cannot be raised has a bug."""

import sys


def hook(unraisable):
    journal.append(unraisable.exc_value)  # <-


class Session(object):
    def __del__(self):
        raise ValueError("not closed")


sys.unraisablehook = hook
session = Session()
del session
