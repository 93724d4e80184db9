"""Its main program ends while a thread goes on: the interpreter's exit waits for that."""

import json
import sys
import threading

if __name__ == "__main__":
    gate = threading.Lock()
    gate.acquire()
    thread = threading.Thread(target=gate.acquire, name="the last one")
    thread.start()
    sys.stdout.write("facts %s\nready\n" % json.dumps({"thread": id(thread), "ident": thread.ident}))
    sys.stdout.flush()
