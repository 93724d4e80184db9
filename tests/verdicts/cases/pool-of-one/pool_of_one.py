"""The only worker waits for the result of what it has just submitted."""
from concurrent.futures import ThreadPoolExecutor

background = ThreadPoolExecutor(max_workers=1)


def save(record):
    return background.submit(validate, record).result()  # <-


def validate(record):
    return record


background.submit(save, 1).result()  # <-
