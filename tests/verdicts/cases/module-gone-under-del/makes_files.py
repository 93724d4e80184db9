"""A file that goes with its object."""

import os


class Scratch(object):
    def __init__(self, path):
        self.path = path

    def __del__(self):
        if os.path.exists(self.path):  # <-
            os.unlink(self.path)
