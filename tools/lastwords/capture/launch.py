"""Start a program so that it has everything its own: descriptors, terminal, process group, signals, exit code.

lastwords forks the program itself and never lets a debugger start it: what gdb starts dies with gdb. The child
waits on a pipe before its exec, so that whoever wants to trace it can attach first:

    signals = forward.SignalForwarder()            # blocks signals; before the fork
    child = launch(program, environ, mask=signals.mask)
    child.allow_tracer(os.getpid())                # yama 1: we, and what we start, gdb too, may trace it
    child.release()                                # exec; raises if that failed
    end_as(child.wait())
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import stat
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from lastwords.errors import NotExecutableError, NotFoundError
from lastwords.model import Exit

PR_SET_PTRACER = 0x59616D61  # linux/prctl.h; "Yama" in ASCII
PR_SET_DUMPABLE = 4
_GO, _TRACER = b"G", b"T"
_TRACER_MESSAGE = struct.Struct("=i")


class Program(msgspec.Struct, frozen=True):
    """What to execute: the path that exec gets, and argv as the user wrote it."""

    path: str
    argv: tuple[str, ...]


def find_program(argv: Sequence[str], environ: Mapping[str, str]) -> Program:
    """The file that a shell would execute for `argv`. Raises NotFoundError or NotExecutableError."""
    name = argv[0]
    if "/" in name:
        candidates = [name]
    else:
        path = environ.get("PATH", os.defpath)
        candidates = [str(Path(directory or ".") / name) for directory in path.split(os.pathsep)]
    present = [candidate for candidate in candidates if Path(candidate).exists()]
    for candidate in present:
        if _is_executable(candidate):
            return Program(candidate, tuple(argv))
    if present and Path(present[0]).is_dir():
        raise NotExecutableError(
            f"{present[0]} is a directory; nothing was run.", f"Name a program in it:  ls {present[0]}"
        )
    if present:
        raise NotExecutableError(
            f"{present[0]} is not an executable file; nothing was run.",
            f"Name the interpreter:  lastwords run -- python3 {present[0]}",
        )
    where, look = ("no such file", "ls -l") if "/" in name else ("not found on PATH", "command -v")
    raise NotFoundError(f"{name}: {where}; nothing was run.", f"Look for it:  {look} {name}")


def _is_executable(path: str) -> bool:
    return stat.S_ISREG(Path(path).stat().st_mode) and os.access(path, os.X_OK)


class Child:
    """The forked program: first waiting before its exec, then running."""

    def __init__(self, program: Program, pid: int, orders: int, answers: int) -> None:
        self.program = program
        self.pid = pid
        self._orders = orders
        self._answers = answers
        self._exit: Exit | None = None

    def allow_tracer(self, tracer: int) -> None:
        """Let process `tracer` trace the child although it is no ancestor of it (yama's ptrace_scope 1)."""
        os.write(self._orders, _TRACER + _TRACER_MESSAGE.pack(tracer))
        os.read(self._answers, 1)

    def release(self) -> None:
        """Let the child exec. Raises NotExecutableError or NotFoundError, the child reaped, if it cannot."""
        with contextlib.suppress(BrokenPipeError):  # it was killed while it waited: wait() tells
            os.write(self._orders, _GO)
        os.close(self._orders)
        failure = os.read(self._answers, 16)
        os.close(self._answers)
        if failure:
            self.wait()
            raise _exec_error(self.program, int(failure))

    def poll(self) -> Exit | None:
        """How it ended, or None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> Exit:
        """Wait for its end."""
        ended = self._reap(0)
        assert ended is not None  # waitpid without WNOHANG returns at an end only
        return ended

    def _reap(self, options: int) -> Exit | None:
        if self._exit is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._exit = exit_from_status(status)
        return self._exit


def keep_standard_descriptors_closed() -> None:
    """Where stdin, stdout or stderr was closed, none of our own files may take its number: exec closes these."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one


def launch(
    program: Program, environ: Mapping[str, str], keep_fds: Iterable[int] = (), mask: Iterable[int] = ()
) -> Child:
    """Fork `program`; the child waits before its exec until `release()`, or until we are gone.

    `keep_fds` stay open in it under their numbers; `mask` are the signals it starts with blocked.
    Call it before any thread is started.
    """
    orders_in, orders = os.pipe()
    answers, answers_out = os.pipe()
    children = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some parents have it, it hides how one ended
    pid = os.fork()
    if pid == 0:
        try:
            os.close(orders)
            os.close(answers)
            signal.signal(signal.SIGCHLD, children)
            _restore_dispositions()
            _obey_orders(orders_in, answers_out)
            for fd in keep_fds:
                os.set_inheritable(fd, True)
            signal.pthread_sigmask(signal.SIG_SETMASK, set(mask))
            _execute(program, environ, answers_out)
        finally:
            os._exit(127)
    os.close(orders_in)
    os.close(answers_out)
    return Child(program, pid, orders, answers)


def _execute(program: Program, environ: Mapping[str, str], answers: int) -> None:
    """Exec; comes back only with an error, which it has told."""
    try:
        os.execve(program.path, program.argv, environ)
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script without a shebang: what execvp and every shell do
            with contextlib.suppress(OSError):
                os.execve("/bin/sh", ("sh", program.path, *program.argv[1:]), environ)
        os.write(answers, str(error.errno).encode())


def _obey_orders(orders: int, answers: int) -> None:
    """Wait for "go". End of file means that lastwords is gone: the program runs all the same."""
    while True:
        order = os.read(orders, 1)
        if order == _TRACER:
            (tracer,) = _TRACER_MESSAGE.unpack(os.read(orders, _TRACER_MESSAGE.size))
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, tracer, 0, 0, 0)  # EINVAL without yama: nothing to allow
            os.write(answers, b"k")
        else:
            break


def _restore_dispositions() -> None:
    """Undo what our own interpreter did: it ignores SIGPIPE and SIGXFSZ, and handles SIGINT unless that was ignored.

    exec resets handlers only, not what is ignored.
    """
    for name in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(name, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _exec_error(program: Program, number: int) -> NotFoundError | NotExecutableError:
    reason = os.strerror(number)
    if number == errno.ENOENT:
        return NotFoundError(
            f"{program.path} cannot be executed: {reason} (the interpreter that its first line or its ELF header "
            "names); nothing was run.",
            f"See what it names:  head -c 200 {program.path}",
        )
    return NotExecutableError(
        f"{program.path} cannot be executed: {reason}; nothing was run.", f"Look at it:  file {program.path}"
    )


def exit_from_status(status: int) -> Exit:
    """What a `waitpid` status says."""
    if os.WIFSIGNALED(status):
        return Exit(signal=os.WTERMSIG(status))
    return Exit(code=os.WEXITSTATUS(status))


def end_as(ended: Exit) -> NoReturn:
    """End this process as the program ended: the same exit code, or death by the same signal."""
    if ended.signal is not None:
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no core of ours over the program's
        with contextlib.suppress(OSError):  # SIGKILL and SIGSTOP have no disposition to set
            signal.signal(ended.signal, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ended.signal})
        os.kill(os.getpid(), ended.signal)
        os._exit(128 + ended.signal)
    assert ended.code is not None
    os._exit(ended.code)
