# Does what its first argument says, and tells the state of the interpreter at its first line and in an atexit callback.
import sys

RACES = sys.argv[1] == "patched_late"  # two threads import at once: the order of that is nobody's
ORDERED = sorted if RACES or sys.version_info < (3, 6) else list  # older dicts have an order, but nobody's
FIRST = ORDERED(sys.modules), list(sys.path), [type(finder).__name__ for finder in sys.meta_path]

import os

ENVIRON = sorted(os.environ.items())
FREE = os.open(os.devnull, os.O_RDONLY)
os.close(FREE)


def tell(when):
    threading = sys.modules.get("threading")
    thread = sys.modules.get("_thread") or sys.modules.get("thread")
    keys = []
    if threading is not None and thread is not None:
        wait_for_the_dead(threading)
        keys = sorted([(key == thread.get_ident(), type(one).__name__) for key, one in threading._active.items()])
    print("%s modules %r" % (when, ORDERED(sys.modules)))
    print("%s active %r" % (when, keys))
    names = vars(threading) if threading is not None else {}
    print("%s attributes %r" % (when, [repr(names.get(name)) for name in ("excepthook", "_active_limbo_lock")]))
    sys.stdout.flush()


def wait_for_the_dead(threading):
    """2.7 lets `join` return a moment before a thread takes itself out of `_active`; under gevent it may never."""
    while "gevent" not in sys.modules:
        ended = [
            one for one in list(threading._active.values()) if type(one) is threading.Thread and not one.is_alive()
        ]
        if not ended:
            break


def plain():
    pass


def one_thread():
    import threading

    thread = threading.Thread(target=plain)
    thread.start()
    thread.join()


def late_thread():
    import threading

    main = threading.current_thread()

    def work():
        while main.is_alive():  # until the shutdown has marked it as ended
            pass

    thread = threading.Thread(target=work)
    thread.start()
    while thread not in list(threading._active.values()):  # 2.7 enters it a moment after `start` has returned
        pass


def thread_error():
    import threading

    def fails():
        raise ValueError("in a thread")

    for function in (fails, sys.exit):
        thread = threading.Thread(target=function, name="worker")
        thread.start()
        thread.join()


def unprintable_error():
    import threading

    class Loud(Exception):
        def __str__(self):
            print("asked for its text")
            return "loud"

    def fails():
        raise Loud(Loud())

    thread = threading.Thread(target=fails, name="worker")
    thread.start()
    thread.join()


def exit_code():
    import threading  # noqa: F401

    sys.exit(7)


def uncaught():
    import threading  # noqa: F401

    raise KeyError("uncaught")


def atexit_error():
    import atexit
    import threading  # noqa: F401

    def fails():
        raise ValueError("at exit")

    atexit.register(fails)


def shutdown_error():
    import threading

    del threading._active[next(iter(threading._active))]
    threading._active.clear()


def no_module():
    for name in ("ssl_of_nowhere", "gevent.nowhere", "queue_"):
        try:
            __import__(name)
        except ImportError:
            print(sys.exc_info()[1])
    import socket  # noqa: F401

    __import__("nowhere")


def forks():
    import threading  # noqa: F401

    sys.stdout.flush()
    child = os.fork()
    if not child:
        print("child")
        sys.exit(3)
    print(os.waitpid(child, 0)[1])


def subprocess_():
    import subprocess

    program = "import sys, os; print(len(os.listdir('/proc/self/fd')), sorted(os.environ), sys.path[1:])"
    print(subprocess.call([sys.executable, "-c", program]))


def descriptors():
    print(sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:4])
    os.closerange(3, 5000)
    handles = [open(os.devnull + "", "w") for _ in range(3)]
    print([handle.fileno() for handle in handles])
    import threading  # noqa: F401


def reused_descriptor():
    import socket

    os.closerange(3, 5000)
    ours, theirs = socket.socketpair()
    for fd in range(900, 1024):
        os.dup2(ours.fileno(), fd)
    import threading  # noqa: F401

    theirs.setblocking(False)
    try:
        print(theirs.recv(100))
    except (IOError, OSError):
        print("nothing was written to our socket")


def killed():
    import threading  # noqa: F401

    sys.stdout.flush()
    os.kill(os.getpid(), 15)


def reloads():
    import threading

    if hasattr(threading, "__spec__"):
        import importlib

        print(type(threading.__spec__).__name__, importlib.util.find_spec("socket") is not None)
        importlib.reload(threading)
    print(repr(threading)[:19], type(threading).__name__)


def original():
    import threading  # noqa: F401

    import gevent.monkey

    gevent.monkey.patch_thread()


def patched_late():
    import threading

    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.acquire, name="worker")
    thread.start()
    from gevent import monkey

    monkey.patch_all()
    lock.release()
    thread.join()


def greenlet_error():
    import gevent

    def fails():
        raise ValueError("in a greenlet")

    for function in (fails, sys.exit):
        gevent.spawn(function).join()


def hub_error():
    import gevent

    def fails():
        raise ValueError("in a callback of the hub")

    gevent.get_hub().loop.run_callback(fails)
    waiting = gevent.spawn(gevent.sleep, 0.01)
    gevent.sleep(0.001)
    waiting.join()


if __name__ == "__main__":
    print("start modules %r" % (FIRST[0],))
    print("start path %r" % (FIRST[1],))
    print("start finders %r" % ([name for name in FIRST[2] if name != "Finder"],))
    print("start environ %r" % (ENVIRON,))
    print("start free descriptor %r" % (FREE,))
    if sys.argv[1] not in ("plain", "no_module"):
        import atexit

        atexit.register(tell, "end")
    globals()[sys.argv[1]]()
    if not RACES:
        tell("done")
