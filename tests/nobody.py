"""Runs a function as another user, or with fewer rights: in a child process, of which only the answer comes back."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

from needs import need

NOBODY = 65534
Answer = TypeVar("Answer")


def as_nobody(function: Callable[[], Answer]) -> Answer:
    """What `function` returns (as JSON has it) when the user `nobody` calls it. Needs root."""
    need(os.geteuid() == 0, "root, to become somebody else")
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: that a thread of ours reads a target's output
        pid = os.fork()
    if pid == 0:
        _answer(function, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said: Any = json.loads(pipe.read() or b"null")
    os.waitpid(pid, 0)
    assert said is not None, "the child died without an answer"
    assert said[0] == "done", said[1]
    return cast(Answer, said[1])


def _answer(function: Callable[[], object], write: int) -> None:
    """In the child: nothing but the answer leaves it."""
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        answer = json.dumps(["done", function()])
    except BaseException as error:
        answer = json.dumps(["failed", f"{type(error).__name__}: {error}"])
    os.write(write, answer.encode())
    os._exit(0)
