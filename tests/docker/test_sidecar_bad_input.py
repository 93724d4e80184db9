"""`lastwords attach` from a container where it cannot: every message word for word (tests/golden/sidecar_*.txt)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docker.harness import Container, Docker, Done
from docker.sidecar import CASES, FEW_RIGHTS, USER, WAYS, Facts, Way, attach, read_facts, say_wrong, start_case
from interpreters import CHECKOUT
from needs import need

GOLDEN = Path(__file__).parents[1] / "golden"
CASE = next(case for case in CASES if case.image == "3.13")
Image = Callable[[str], str]
LOOK = "while lastwords attach 1 --json - >/dev/null; do echo again; done"


@pytest.fixture
def lastwords(image: Image) -> str:
    """The image."""
    return image("3.13")


@pytest.fixture
def target(docker: Docker, lastwords: str) -> Iterator[Container]:
    """A container whose first process is a Python of a user of its own."""
    container = start_case(docker, CASE, lastwords)
    try:
        container.wait_for("facts ")
        yield container
    finally:
        container.remove()


def check(name: str, done: Done, code: int) -> None:
    """It ended with `code`, said nothing on stdout, and on stderr what the golden file has."""
    text = re.sub(r"among the \d+ of", "among the <processes> of", done.stderr)
    golden = GOLDEN / f"sidecar_{name}.txt"
    if os.environ.get("LASTWORDS_GOLDEN") == "write":
        golden.write_text(text)
    assert (text, done.code, done.stdout) == (golden.read_text(), code, "")


def test_no_capability(docker: Docker, lastwords: str, target: Container) -> None:
    joined = f"--pid=container:{target.id}"
    check("no_capability", docker.run(lastwords, "attach", "1", options=[joined]), 4)
    check("no_capability", docker.run(lastwords, "attach", "1", options=[joined, "--cap-drop=ALL"]), 4)
    as_other = docker.run(lastwords, "attach", "1", options=[joined, "--user=4321", "--cap-add=SYS_PTRACE"])
    check("other_user", as_other, 4)


def test_ps_says_the_same(docker: Docker, lastwords: str, target: Container, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text(f"root:x:0:0::/root:/bin/sh\nwrong:x:{USER}:{USER}::/:/bin/sh\n")
    done = docker.run(lastwords, "ps", options=[f"--pid=container:{target.id}"])
    assert done.code == 0
    assert f"belongs to user {USER}, lastwords runs as user 0 without CAP_SYS_PTRACE" in done.stdout
    users = f"--volume={tmp_path}/passwd:/etc/passwd:ro"  # who has that number here is nobody there
    allowed = docker.run(lastwords, "ps", options=[f"--pid=container:{target.id}", "--cap-add=SYS_PTRACE", users])
    assert [line.split()[:5] for line in allowed.stdout.splitlines()[1:2]] == [["1", "3.13.5", "7", USER, "yes"]]


def test_few_rights_read_less_and_say_so(docker: Docker, lastwords: str, target: Container) -> None:
    """/proc/PID/syscall and /proc/PID/fd are their owner's alone, whoever may trace him."""
    facts: Facts = read_facts(target)
    report = attach(docker, Way("few rights", "3.13", FEW_RIGHTS), lastwords, CASE, target)
    (said,) = [one for one in report["moments"][0]["capture"]["problems"] if "CAP_DAC_READ_SEARCH" in one]
    assert said.startswith("/proc/1/syscall, /proc/1/fd")
    wrong = say_wrong(report, facts)
    assert "problems" in wrong
    assert not wrong.keys() & {"threads", "version", "their own tids", "line of wants"}


def test_another_pid_namespace(docker: Docker, lastwords: str) -> None:
    check("itself", docker.run(lastwords, "attach", "1"), 3)
    check("not_joined", docker.run(lastwords, "attach", "4711"), 3)
    check("init", docker.run(lastwords, "attach", "1", options=["--init"]), 3)


def test_a_number_that_is_not_there(docker: Docker, lastwords: str, target: Container) -> None:
    options = [f"--pid=container:{target.id}", "--cap-add=SYS_PTRACE"]
    check("joined", docker.run(lastwords, "attach", "4711", options=options), 3)


def test_the_end_of_the_target_ends_the_sidecar(
    lastwords: str, target: Container, start_container: Callable[..., Container]
) -> None:
    """With its first process the kernel kills all of a pid namespace; nothing is left to say a word."""
    options = [f"--pid=container:{target.id}", "--cap-add=SYS_PTRACE", "--entrypoint=sh"]
    sidecar = start_container(lastwords, "-c", LOOK, options=options).wait_for("again")
    target.remove()
    assert sidecar.wait() == 128 + 9


def test_the_end_of_the_target_seen_from_outside(target: Container) -> None:
    need(os.geteuid() == 0, "root, to look into a container from outside")
    command = f"while {sys.executable} -m lastwords attach {target.pid} --json - >/dev/null; do echo again; done"
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "tools")}
    with subprocess.Popen(
        ["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        pid = target.pid
        target.remove()
        said = looking.communicate()[1]
    gone = f"lastwords: There is no process {pid}.\n"
    ended = (f"lastwords: Process {pid} ended while it was read.\n", f"lastwords: Process {pid} is a zombie: ")
    assert said.startswith((gone, *ended)), said


def test_a_network_of_the_targets_tells_more(docker: Docker, lastwords: str, target: Container) -> None:
    """Who has the other end of a pair of sockets: netlink answers inside their network namespace alone."""
    way = Way("its network", "3.13", (*WAYS[0].options, f"--network=container:{target.id}"))
    for one, expected in ((WAYS[0], False), (way, True)):
        report = attach(docker, one, lastwords, CASE, target)
        waits = {thread["name"]: thread["waits_for"]["detail"] for thread in report["threads"]}
        assert ("the other end: this process itself" in waits["receives"]) is expected
