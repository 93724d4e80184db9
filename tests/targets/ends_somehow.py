# Ends as its first argument says, after it has done what that says; prints what it sees. 2.7 and up.
import os
import signal
import subprocess
import sys
import threading
import time


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def reap(child):
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "signal %d" % os.WTERMSIG(status)
    return "exit %d" % os.WEXITSTATUS(status)


def forked(function, *arguments):
    child = os.fork()
    if not child:
        function(*arguments)
        os._exit(99)
    return child


def kill_self(number):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def exits():
    """Codes and deaths of children, as their parent sees them."""
    for code in (0, 3, 255):
        say("child", reap(forked(os._exit, code)))
    for number in (signal.SIGTERM, signal.SIGUSR1):
        say("child", reap(forked(kill_self, number)))
    sleeper = forked(time.sleep, 60)
    os.kill(sleeper, signal.SIGKILL)
    say("child", reap(sleeper))


def spawns():
    """subprocess, in its ways; a group and a session of its own."""
    say(subprocess.call(["/bin/sh", "-c", "exit 5"]))
    say(subprocess.Popen(["/bin/echo", "echoed"], stdout=subprocess.PIPE).communicate()[0])
    say(subprocess.call([sys.executable, "-S", "-c", "import sys; sys.exit(6)"]))
    code = "import os; print(os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid())"
    command = [sys.executable, "-S", "-c", code]
    say(subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=os.setsid).communicate()[0])
    killed = subprocess.Popen(["/bin/sleep", "60"])
    killed.terminate()
    say(killed.wait())


def stops():
    """A child that is stopped and continued, as its parent sees it."""
    child = forked(time.sleep, 60)
    for number in (signal.SIGSTOP, signal.SIGTSTP if os.getsid(0) != os.getpgrp() else signal.SIGSTOP):
        os.kill(child, number)
        status = os.waitpid(child, os.WUNTRACED)[1]
        say("stopped", os.WIFSTOPPED(status), os.WSTOPSIG(status))
        os.kill(child, signal.SIGCONT)
        status = os.waitpid(child, os.WCONTINUED)[1]
        say("continued", os.WIFCONTINUED(status))
    os.kill(child, signal.SIGTERM)
    say(reap(child))


def children():
    """SIGCHLD handlers run once for each child; timers go on ticking meanwhile."""
    seen = []
    signal.signal(signal.SIGCHLD, lambda *_: seen.append("child"))
    for _ in range(5):
        before = len(seen)
        child = forked(os._exit, 1)
        while len(seen) == before:
            time.sleep(0.001)
        reap(child)
    say(len(seen))
    ticks = []
    signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    while len(ticks) < 50:
        time.sleep(0.001)
    signal.setitimer(signal.ITIMER_REAL, 0)
    say("ticked")


def identity():
    """A thread beside, and the user changed: glibc signals each thread for that (SIGSETXID)."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    os.setgid(os.getgid())
    os.setuid(os.getuid())
    done.set()
    thread.join()
    say(os.getuid())


def daemonises():
    """Fork, setsid, fork; the grandchild writes into the file that is its second argument when its parents are gone."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os.read(reading, 1)
        os._exit(4)
    os.setsid()
    if os.fork():
        os._exit(0)
    while os.getppid() != 1:
        time.sleep(0.001)
    with open(sys.argv[2], "w") as file:
        file.write("%s %s" % (os.getsid(0) != os.getpid(), os.getppid()))
    os.write(writing, b"x")
    os._exit(0)


def executes_python():
    os.execv(sys.executable, [sys.executable, "-S", "-c", "import sys; print('other', sys.argv); sys.exit(8)", "one"])


def executes_true():
    os.execv("/bin/true", ["true"])


def all_of_them():
    for function in (exits, spawns, stops, children, identity):
        say("==", function.__name__)
        function()
    sys.exit(7)


def uncaught():
    raise ValueError("uncaught")


WAYS = {
    "text": lambda: sys.exit("a text"),
    "none": lambda: sys.exit(None),
    "true": lambda: sys.exit(True),
    "large": lambda: sys.exit(256 + 9),
    "_exit": lambda: os._exit(11),
    "interrupted": lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(60),
    "aborts": os.abort,
}
if __name__ == "__main__":
    way = sys.argv[1]
    if way.isdigit():
        kill_self(int(way)) if int(way) not in (9, 19) else os.kill(os.getpid(), int(way))
    else:
        (WAYS.get(way) or globals()[way])()
