"""Does everything that a debugger meets, over and over: exceptions swallowed, threads, forks, a subprocess.

As often as the first argument says; with a file as the second argument, from then on until that file is there.
"""
import os
import subprocess
import sys
import threading

ROUNDS = int(sys.argv[1])
UNTIL = sys.argv[2] if len(sys.argv) > 2 else None


class Fails(object):
    def __del__(self):
        raise ValueError("swallowed")


def swallow():
    Fails()


def is_over(number):
    return number >= ROUNDS and (UNTIL is None or os.path.exists(UNTIL))


def main():
    number = 0
    while not is_over(number):
        number += 1
        swallow()
        threads = [threading.Thread(target=swallow) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child = os.fork()
        if child == 0:
            swallow()
            os._exit(number % 100)
        status = os.waitpid(child, 0)[1]
        assert status == (number % 100) << 8, status
        assert subprocess.call(["/bin/true"]) == 0
    sys.stdout.write("end\n")
    sys.stdout.flush()


sys.stdout.write("pid %d\n" % os.getpid())
sys.stdout.flush()
main()
os._exit(7)
