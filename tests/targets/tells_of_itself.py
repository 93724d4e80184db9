# Writes all that a process can know of itself without looking for a tracer, as one JSON object, to the file named.
import os
import sys

FIRST = {
    "modules": list(sys.modules) if sys.version_info >= (3, 6) else sorted(sys.modules),
    "meta_path": list(map(repr, map(type, sys.meta_path))),
    "path_importer_cache": sorted(sys.path_importer_cache),
    "path_hooks": list(map(repr, map(type, sys.path_hooks))),
    "builtins": sorted(vars(sys.modules.get("builtins") or sys.modules["__builtin__"])),
    "main": sorted(globals()),
    "path": list(sys.path),
    "argv": list(map(repr, sys.argv)),
    "flags": repr(sys.flags),
    "frames": len(sys._current_frames()),
    "tracing": repr([sys.getprofile(), sys.gettrace(), sys.excepthook])[:60],
    "recursion": sys.getrecursionlimit(),
    "warnings": list(sys.warnoptions),
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
}

import gc
import json
import resource
import signal
import threading

STATUS = "SigIgn SigBlk SigCgt SigPnd ShdPnd Umask Seccomp NoNewPrivs CapEff CapBnd CapInh CapAmb Uid Gid Groups"
LIMITS = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
FILES = "comm personality oom_score_adj timerslack_ns loginuid cgroup coredump_filter limits"


def read(name):
    try:
        with open("/proc/self/" + name, "rb") as file:
            return file.read().decode("latin-1")
    except (IOError, OSError):
        return "none"


def status():
    fields = dict(line.split(":", 1) for line in read("status").splitlines())
    return {name: fields[name].split() for name in STATUS.split() if name in fields}


def descriptors():
    found = {}
    for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")):
        flags = [line.split()[1] for line in read("fdinfo/%d" % fd).splitlines() if line.startswith("flags")]
        if flags:  # the one that listdir opened is closed again
            name = os.readlink("/proc/self/fd/%d" % fd)
            found[fd] = [flags[0], name.split(":[")[0]]  # pipes and sockets have a number of their own in each run
    return found


def terminal():
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return "no controlling terminal"
    try:
        return [os.ttyname(fd), os.tcgetpgrp(fd) == os.getpgrp()]
    finally:
        os.close(fd)


def dumpable():
    try:
        import ctypes
    except ImportError:
        return None
    prctl = ctypes.CDLL(None).prctl
    return [prctl(number, 0, 0, 0, 0) for number in (3, 7, 21, 27)]  # DUMPABLE, KEEPCAPS, SECCOMP, SECUREBITS


def ident():
    return (sys.modules.get("_thread") or sys.modules["thread"]).get_ident()


told = dict(
    FIRST,
    environ={name: repr(value) for name, value in os.environ.items()},
    initial_environ=read("environ").rstrip("\0").split("\0"),
    cmdline=[word for word in read("cmdline").split("\0") if not word.endswith("-told.json")],
    files={name: read(name) for name in FILES.split()},
    cwd=os.getcwd(),
    exe=os.readlink("/proc/self/exe"),
    namespaces=[os.readlink("/proc/self/ns/" + name) for name in ("pid", "mnt", "net", "user")],
    status=status(),
    open=descriptors(),
    limits={name: resource.getrlimit(getattr(resource, name)) for name in LIMITS},
    nice=os.nice(0),
    affinity=sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    policy=os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None,
    children=read("task/%d/children" % os.getpid()),
    terminal=terminal(),
    dumpable=dumpable(),
    handlers=[repr(signal.getsignal(number)) for number in range(1, signal.NSIG) if number not in (32, 33)],
    timers=[signal.getitimer(which) for which in (0, 1, 2)],
    active=[[key == ident(), type(one).__name__] for key, one in threading._active.items()],
    threading=[repr(type(threading)), repr(threading)[:20], repr(getattr(threading, "__loader__", None))[:30]],
    threading_names=sorted(vars(threading)),
    isatty=[os.isatty(fd) for fd in (0, 1, 2)],
    switch=getattr(sys, "getswitchinterval", int)(),
    collector=[gc.isenabled(), gc.get_threshold(), len(getattr(gc, "callbacks", []))],
    monitoring=[sys.monitoring.get_tool(number) for number in range(6)] if hasattr(sys, "monitoring") else None,
)
told["argv"] = [word for word in told["argv"] if "-told.json" not in word]
with open(sys.argv[1], "w") as file:
    json.dump(told, file, indent=1, sort_keys=True)
