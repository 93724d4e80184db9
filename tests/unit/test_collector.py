"""How our own process ends, and that nobody looks through what it has loaded."""

from __future__ import annotations

import subprocess
import sys

END = """
import atexit, sys, threading
from lastwords.collector import end_at_once
atexit.register(print, "registered")
{more}
sys.stdout.write("written\\n")
end_at_once(3)
sys.exit(4)
"""
COLLECTIONS = """
import gc
from lastwords.collector import all_kept, own_process
{ours}
seen = []
with all_kept():
    kept = [[] for _ in range(100_000)]
    gc.callbacks.append(lambda phase, info: seen.append(info["generation"]))
more = [[] for _ in range(100)]
print(len(seen), gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


def run(code: str, **outputs: int) -> subprocess.CompletedProcess[str]:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | outputs
    return subprocess.run([sys.executable, "-E", "-c", code], text=True, check=False, **given)  # type: ignore[call-overload, no-any-return]


def test_what_is_registered_is_done_and_all_is_written() -> None:
    done = run(END.format(more=""))
    assert (done.returncode, done.stdout, done.stderr) == (3, "written\nregistered\n", "")


def test_a_thread_is_waited_for_as_always() -> None:
    more = "import os\nends = os.pipe()\nthreading.Thread(target=os.read, args=(ends[0], 1)).start()\n"
    more += "threading._register_atexit(os.write, ends[1], b'x')"
    done = run(END.format(more=more))
    assert (done.returncode, done.stdout) == (4, "written\nregistered\n")


def test_an_output_that_takes_nothing_is_left_to_the_interpreter() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = run(END.format(more=""), stdout=full.fileno())
    assert done.returncode == 120
    assert "No space left on device" in done.stderr


def test_what_was_loaded_is_not_looked_through_in_a_process_of_ours_alone() -> None:
    assert run(COLLECTIONS.format(ours="own_process()")).stdout == "0 True True\n"
    assert run(COLLECTIONS.format(ours="")).stdout == "2 True False\n"  # it began and ended
