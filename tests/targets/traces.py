"""Traces a process by ptrace and holds it until stdin ends: PID, or `exec PROGRAM...`, which is held before its first
instruction. Says "ready PID" when it is held."""

import ctypes
import os
import sys

TRACEME, CONT, SEIZE, INTERRUPT, SETOPTIONS, EXITKILL = 0, 7, 0x4206, 0x4207, 0x4200, 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, 0, data) < 0:
        sys.exit("ptrace(%#x): %s" % (request, os.strerror(ctypes.get_errno())))


def execute(command):
    """Its pid, when it has executed the program and stands before its first instruction."""
    pid = os.fork()
    if pid == 0:
        ptrace(TRACEME, 0)
        os.execv(command[0], command)
    os.waitpid(pid, 0)
    ptrace(SETOPTIONS, pid, EXITKILL)
    return pid


def hold(pid):
    ptrace(SEIZE, pid)
    ptrace(INTERRUPT, pid)
    os.waitpid(pid, 0)
    return pid


if __name__ == "__main__":
    held = execute(sys.argv[2:]) if sys.argv[1] == "exec" else hold(int(sys.argv[1]))
    sys.stdout.write("ready %d\n" % held)
    sys.stdout.flush()
    sys.stdin.read()
