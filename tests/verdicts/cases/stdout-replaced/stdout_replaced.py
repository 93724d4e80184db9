"""sys.stdout is an object of the program's own, which cannot be flushed at the end."""

import sys


class Tee(object):
    def __init__(self, *outputs):
        self.outputs = outputs

    def write(self, text):
        for one in self.outputs:
            one.write(text)

    def flush(self):
        for one in self.outputs:
            one.flush()  # <-


log = open("/dev/null", "w")
sys.stdout = Tee(sys.stdout, log)
print("done")
log.close()
