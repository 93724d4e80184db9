"""As many threads as its argument says, with small stacks; ends with 7 when it is told a line and all have ended.

Says "only N" where the machine allows no more.
"""

import sys
import threading

told = threading.Event()
threading.stack_size(65536)
threads = [threading.Thread(target=told.wait) for _ in range(int(sys.argv[1]))]
started = []
try:
    for thread in threads:
        thread.start()
        started.append(thread)
    sys.stdout.write("ready\n")
except (RuntimeError, MemoryError):
    sys.stdout.write("only %d\n" % len(started))
sys.stdout.flush()
sys.stdin.readline()
told.set()
for thread in started:
    thread.join()
sys.exit(7)
