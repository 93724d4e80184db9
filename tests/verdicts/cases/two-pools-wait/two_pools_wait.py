"""A worker waits for another pool, whose worker reads what a child does not write: nobody is starved."""
import subprocess
from concurrent.futures import ThreadPoolExecutor

front, back = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
child = subprocess.Popen(["sleep", "1000"], stdout=subprocess.PIPE)


def serve():
    return back.submit(child.stdout.read).result()  # <-


front.submit(serve).result()  # <-
