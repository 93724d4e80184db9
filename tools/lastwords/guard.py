"""One line inside a program, after it has patched: `import lastwords.guard; lastwords.guard.check()`.

Raises `PatchedTooLateError` where gevent patched a module that had been imported before: what kept the unpatched
parts (locks, functions, the main thread's entry) goes on without gevent. Costs one look at `sys.modules`.

This file stands alone and runs on CPython 2.7 and 3.6 to 3.15. lastwords itself needs 3.11: for an older
interpreter, copy this one file next to the program and `import guard`. Its path:

    python3 -c "import lastwords.guard; print(lastwords.guard.__file__)"

Under `lastwords guard` or `run` the agent's record is used: it has the whole chain of imports. Without it, the
order of `sys.modules` (3.6 and newer) and the types of objects tell; an import after gevent's own is then not seen.
"""

# mypy: ignore-errors

import os
import sys

MAX_NAMES = 3


class PatchedTooLateError(RuntimeError):
    """gevent patched modules that had been imported before; `late` is what `find_late` returned."""

    def __init__(self, late):
        self.late = late
        RuntimeError.__init__(
            self,
            "imported before gevent patched them: %s\n  help: patch first: `from gevent import monkey; "
            "monkey.patch_all()` above every other import of the program's main file"
            % "; ".join(["%s (%s)" % (one.module, one.evidence) for one in late]),
        )


class Late(object):
    """`module` was imported too early; `evidence` says how that is known, `chain` who did it: [(file, line), ...]."""

    def __init__(self, module, evidence, chain=()):
        self.module = module
        self.evidence = evidence
        self.chain = chain

    def __repr__(self):
        return "<Late %s: %s>" % (self.module, self.evidence)


def check(ignore=()):
    """Raise PatchedTooLateError if a module that gevent patched had been imported before, but for those of `ignore`."""
    late = [one for one in find_late() if one.module not in ignore]
    if late:
        raise PatchedTooLateError(late)


def find_late():
    """The modules that were imported too early, as a list of `Late`; empty where gevent patched nothing."""
    originals = patched_attributes()
    record = find_record()
    if record is not None:
        found = late_by_record(record)
    else:
        found = late_by_order(originals) + late_by_locks(originals)
    late = {}
    for one in found + late_by_copies(originals):
        late.setdefault(one.module, one)
    return sorted(late.values(), key=lambda one: one.module)


def find_record():
    """What the agent of lastwords has seen, or None where it is not in this process."""
    for finder in sys.meta_path:
        record = getattr(finder, "lastwords_record", None)
        if record is not None:
            return record
    return None


def late_by_record(record):
    """Imports before the patch, but for gevent's own and the interpreter's."""
    late = []
    for module, loaded in sorted(record.patched.items()):
        chain = record.chains.get(module)
        if chain is None or record.seen[module] >= loaded:
            continue
        if not [one for one in chain if (one[4] or "").split(".")[0] == "gevent"]:
            places = [(one[0], one[1]) for one in chain]
            by = "by %s:%s" % places[0] if places else "before any sitecustomize"
            late.append(Late(module, by, places))
    return late


def patched_attributes():
    """{module: {attribute: what it was}}, as gevent keeps it."""
    monkey = sys.modules.get("gevent.monkey._state") or sys.modules.get("gevent.monkey")
    saved = getattr(monkey, "saved", {})
    return dict([(name, dict(saved[name])) for name in saved if not name.startswith("_gevent")])


def late_by_order(originals):
    """`sys.modules` keeps the order in which imports ended, where dicts keep any."""
    return [
        Late(name, "it stands before gevent in sys.modules")
        for name in before_gevent()
        if name in originals and not brought_by_interpreter(name)
    ]


def before_gevent():
    """The names that stand before gevent's first in `sys.modules`; none where dicts keep no order."""
    names = list(sys.modules) if sys.version_info >= (3, 6) else []
    firsts = [number for number, name in enumerate(names) if name.split(".")[0] == "gevent"]
    return names[: firsts[0]] if firsts else []


def brought_by_interpreter(name):
    """`os`, and what is built into the interpreter, are there before any program."""
    return name == "os" or not hasattr(sys.modules[name], "__file__")


def late_by_locks(originals):
    """`threading` makes a lock when it is imported: a native one, if that was before the patch."""
    threading = sys.modules.get("threading")
    thread = originals.get("_thread", originals.get("thread", {}))
    if threading is None or "threading" not in originals or "allocate_lock" not in thread:
        return []
    lock = getattr(threading, "_active_limbo_lock", None)
    if type(lock) is not type(thread["allocate_lock"]()):
        return []
    return [Late("threading", "its _active_limbo_lock is a native lock")]


def late_by_copies(originals):
    """`from time import sleep` before the patch: the importing module still has the unpatched function."""
    late = []
    early = before_gevent()
    for name, module in list(sys.modules.items()):
        if is_own(name, module, early):
            for patched in originals:
                held = copies(module, originals[patched])
                if held:
                    late.append(Late(patched, "%s still has the unpatched %s" % (name, ", ".join(held[:MAX_NAMES]))))
    return late


def is_own(name, module, early):
    """A module of the program's, neither gevent's nor the standard library's; or installed, and there before gevent.

    gevent itself, while it patches, has installed packages imported (those of its entry points): that is in order.
    """
    file = getattr(module, "__file__", None)
    if name.split(".")[0] == "gevent" or not isinstance(file, str):
        return False
    if "-packages" in file:
        return name in early
    return not os.path.dirname(os.path.abspath(file)).startswith(STDLIB)


def copies(module, attributes):
    """Names in `module` that are bound to one of the original attributes: functions and classes alone."""
    originals = set([id(value) for value in attributes.values() if callable(value) and not is_of_gevent(value)])
    return sorted([name for name, value in list(vars(module).items()) if id(value) in originals])


def is_of_gevent(value):
    """gevent patches what an earlier patch had changed already, and keeps its own as the original."""
    module = getattr(value, "__module__", None)
    return isinstance(module, str) and module.split(".")[0] == "gevent"


STDLIB = os.path.dirname(os.path.abspath(os.__file__))
