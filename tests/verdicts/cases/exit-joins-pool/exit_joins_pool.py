"""main ends; the worker of an executor reads a pipe that nobody writes to."""
import os
from concurrent.futures import ThreadPoolExecutor

source, sink = os.pipe()
ThreadPoolExecutor(3).submit(os.read, source, 1)
