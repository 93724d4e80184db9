"""__del__ of an object whose __init__ failed."""


class Session(object):
    def __init__(self, fail):
        if fail:
            raise ValueError("no session")
        self.peer = None

    def __del__(self):
        print(self.peer)  # <-


try:
    Session(True)
except ValueError:
    pass
