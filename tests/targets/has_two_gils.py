"""A second interpreter with a GIL of its own runs, and never gives it up; the main thread reads its stdin."""

import sys
import threading

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

if __name__ == "__main__":
    other = interpreters.create()
    code = "import sys\nsys.stdout.write('ready\\n')\nsys.stdout.flush()\nwhile True: pass\n"
    thread = threading.Thread(target=interpreters.run_string, args=(other, code))
    thread.daemon = True
    thread.start()
    sys.stdin.readline()
