"""An atexit callback raises."""
import atexit


def goodbye():
    {}["user"]  # <-


atexit.register(goodbye)
