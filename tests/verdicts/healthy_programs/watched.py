"""watchdog: python watched.py idle|busy; when busy it writes what it watches, too."""

import os
import sys
import threading
import time

from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

FOLDER = os.environ["LASTWORDS_FOLDER"]
WATCHED = os.path.join(FOLDER, "watched")


def write():
    while True:
        open(os.path.join(WATCHED, "one"), "w").close()
        time.sleep(0.01)


os.mkdir(WATCHED)
observer = Observer()
observer.schedule(FileSystemEventHandler(), WATCHED, recursive=True)
observer.start()
if sys.argv[1] == "busy":
    threading.Thread(target=write, daemon=True).start()
open(os.path.join(FOLDER, "ready"), "w").close()
observer.join()
