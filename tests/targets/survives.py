"""Does everything that a debugger meets, over and over: exceptions swallowed, threads, forks, a subprocess."""
import os
import subprocess
import sys
import threading

ROUNDS = int(sys.argv[1])


class Fails(object):
    def __del__(self):
        raise ValueError("swallowed")


def swallow():
    Fails()


def main():
    for number in range(ROUNDS):
        swallow()
        threads = [threading.Thread(target=swallow) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child = os.fork()
        if child == 0:
            swallow()
            os._exit(number)
        status = os.waitpid(child, 0)[1]
        assert status == number << 8, status
        assert subprocess.call(["/bin/true"]) == 0
    sys.stdout.write("end\n")
    sys.stdout.flush()


sys.stdout.write("pid %d\n" % os.getpid())
sys.stdout.flush()
main()
os._exit(7)
