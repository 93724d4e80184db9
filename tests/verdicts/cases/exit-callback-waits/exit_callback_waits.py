"""An atexit callback waits for an answer that no longer comes."""
import atexit
import os

answer, question = os.pipe()


def say_goodbye():
    os.write(question, b"bye")
    os.read(answer, 3)
    os.read(answer, 3)  # <-


atexit.register(say_goodbye)
