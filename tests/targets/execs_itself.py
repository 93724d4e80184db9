"""Swallows an exception, and executes itself in its place, three times."""
import os
import sys


class Failing(object):
    def __del__(self):
        raise ValueError("before exec %d" % (len(sys.argv) - 1))


if __name__ == "__main__":
    Failing()
    if len(sys.argv) < 3:
        os.execv(sys.executable, [sys.executable, __file__] + sys.argv[1:] + ["again"])
