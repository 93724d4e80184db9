"""Which signals a program handles itself, in Python: what may wake it although nothing else can."""

from __future__ import annotations

import pytest

from harness import running
from interpreters import Interpreter
from lastwords.examine import Options, attach_process

PROGRAM = """
import signal, sys
if sys.argv[1] == "handles":
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGUSR1, len)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.mark.interpreters("symbols", "!free_threaded", minors=("2.7", "3.8", "3.11", "3.13", "3.14", "3.15"))
@pytest.mark.parametrize(("way", "handled"), [("handles", ["SIGINT", "SIGUSR1"]), ("leaves", [])])
def test_signals_that_the_program_handles(interpreter: Interpreter, way: str, handled: list[str]) -> None:
    with running([interpreter.path, "-c", PROGRAM, way]) as target:
        target.wait_for("ready")
        [process] = attach_process(target.pid, Options(native=False)).processes
    assert process.signals_handled == handled
    assert {"SIGUSR1", "SIGHUP"} & set(process.signals_caught or ()) == {"SIGUSR1"} & set(handled)
