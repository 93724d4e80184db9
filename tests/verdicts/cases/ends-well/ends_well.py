"""A program with threads, callbacks and children that all end well."""
import atexit
import subprocess
import threading

atexit.register(threading.current_thread)
threads = [threading.Thread(target=int) for _ in range(3)]
for one in threads:
    one.start()
subprocess.check_call(["true"])
