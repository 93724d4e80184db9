"""A second interpreter in a thread: what it says of itself, and a thread of its own in it.

It is made by the C API ("api"), or by the module that the release has for it ("module").
"""

import sys
import threading

INSIDE = """
import json
import sys
import threading

ready = threading.Event()
facts = {}


def block(*names):
    mine = "its local"
    if names:
        facts["thread"] = threading.current_thread().ident
        ready.set()
        lock.acquire()
    return sys.stdin.readline()


lock = threading.Lock()
lock.acquire()
thread = threading.Thread(target=block, args=("in it",), name="inside")
thread.start()
ready.wait()
facts["own"] = threading.current_thread().ident
facts["name"] = threading.current_thread().name
facts["modules"] = list(sys.modules)
sys.stdout.write("facts " + json.dumps(facts) + "\\nready\\n")
sys.stdout.flush()
block()
"""


def enter_by_api():
    """Never comes back: the calls leave this thread in the other interpreter."""
    import ctypes

    ctypes.pythonapi.Py_NewInterpreter.restype = ctypes.c_void_p
    ctypes.pythonapi.Py_NewInterpreter()
    ctypes.pythonapi.PyRun_SimpleString(INSIDE.encode())


def enter_by_module():
    try:
        import _interpreters

        getattr(_interpreters, "exec")(_interpreters.create(), INSIDE)  # noqa: B009 - no syntax of 2.7
    except ImportError:
        import _xxsubinterpreters as old

        old.run_string(old.create(isolated=False) if sys.version_info > (3, 9) else old.create(), INSIDE)


if __name__ == "__main__":
    # between the calls of the C API no other thread may get the GIL
    sys.setcheckinterval(10**9) if sys.version_info[0] == 2 else sys.setswitchinterval(100)
    enter = enter_by_api if sys.argv[1] == "api" else enter_by_module
    threading.Thread(target=enter, name="enters").start()
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
