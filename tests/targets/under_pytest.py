"""Looks from outside like pytest in the middle of a test: its module, its variable; and like our plugin's notes.

Says `ready`, waits for a line, leaves the test, says `between`, waits for another line, is a program without pytest,
says `no pytest`, waits for one more.
"""

import os
import sys
import threading
import types

for name in ("_pytest", "lastwords", "lastwords.pytest_plugin"):
    sys.modules[name] = types.ModuleType(name)
started = sys.modules["lastwords.pytest_plugin"].started = {}
os.environ["PYTEST_CURRENT_TEST"] = "tests/test_x.py::test_y[1-a b] (call)"
over = threading.Event()
thread = threading.Thread(target=over.wait, name="left")
thread.daemon = True
thread.start()
started[thread.ident] = "tests/test_x.py::test_before"
started[1] = "tests/test_x.py::test_of_one_that_has_ended"
os.write(1, b"ready\n")
sys.stdin.readline()
del os.environ["PYTEST_CURRENT_TEST"]
os.write(1, b"between\n")
sys.stdin.readline()
os.environ["PYTEST_CURRENT_TEST"] = "that of the parent, inherited"
del sys.modules["_pytest"]
os.write(1, b"no pytest\n")
sys.stdin.readline()
