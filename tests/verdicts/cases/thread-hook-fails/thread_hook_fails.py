"""threading.excepthook raises itself."""
import threading


def hook(args):
    args.nothing  # <-


threading.excepthook = hook
failing = threading.Thread(target=int, args=("x",))
failing.start()
failing.join()
