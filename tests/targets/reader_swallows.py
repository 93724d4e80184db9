"""Swallows exceptions in every form in which C may leave them pending: made, an argument, a tuple, nothing."""


class Finalized(object):
    def __init__(self, what):
        self.what = what

    def __del__(self):
        exec(self.what)


def swallow(what):
    Finalized(what)


for each in ("raise ValueError('made')", "[][7]", "{}[1, 2]", "raise KeyboardInterrupt", "open('/none')"):
    swallow(each)
