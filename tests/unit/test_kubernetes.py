"""The manifests of docker/kubernetes: valid by Kubernetes' own schema, and granting nothing more than is needed."""

from __future__ import annotations

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lastwords.cli.check_rights import CUSTOM, DEBUG

CHECKOUT = Path(__file__).resolve().parents[2]
DIRECTORY = CHECKOUT / "docker" / "kubernetes"
PAGE = CHECKOUT / "docs" / "containers.md"
SCHEMAS = ["1.31", kubernetes_validate.latest_version()]  # `--custom` came with 1.31
FORBIDDEN_IN_CUSTOM = {"name", "command", "image", "lifecycle", "volumeDevices"}  # kubectl refuses them
# What `kubectl debug` itself gives the ephemeral container, by profile (kubectl's pkg/cmd/debug/profiles.go).
PROFILES: dict[str, dict[str, Any]] = {
    "general": {"capabilities": {"add": ["SYS_PTRACE"]}},
    "restricted": {
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "allowPrivilegeEscalation": False,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
CUSTOMS = {"as-root.yaml": "general", "as-owner.yaml": "restricted"}
NEEDED = ["SYS_PTRACE", "DAC_READ_SEARCH"]
FLAGS = {"-it", "--image", "--target", "--profile", "--custom", "--arguments-only", "--"}  # kubectl's debug.go


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DIRECTORY / name).read_text())
    return loaded


def merge(into: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """As a strategic merge patch does it to a container's securityContext: maps are merged, lists replaced."""
    merged = {**into}
    for key, value in patch.items():
        merged[key] = merge(merged[key], value) if isinstance(value, dict) and key in merged else value
    return merged


def debugged(name: str) -> dict[str, Any]:
    """The Pod that `kubectl debug --custom=NAME` asks for."""
    container = {"name": "debugger", "image": "lastwords", "args": ["attach", "1"], "targetContainerName": "app"}
    profile = {"securityContext": copy.deepcopy(PROFILES[CUSTOMS[name]])}
    spec = {
        "containers": [{"name": "app", "image": "python:3.13-slim"}],
        "ephemeralContainers": [merge({**container, **profile}, load(name))],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec}


def test_every_manifest_is_tested() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} == {*CUSTOMS, "shared-pod.yaml", "rbac.yaml"}


@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("name", CUSTOMS)
def test_a_custom_profile_makes_a_valid_pod(name: str, version: str) -> None:
    assert set(load(name)).isdisjoint(FORBIDDEN_IN_CUSTOM)
    kubernetes_validate.validate(debugged(name), version, strict=True)


@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("name", ["shared-pod.yaml", "rbac.yaml"])
def test_a_manifest_is_valid(name: str, version: str) -> None:
    kubernetes_validate.validate(load(name), version, strict=True)


def test_the_schema_finds_mistakes() -> None:
    pod = load("shared-pod.yaml")
    pod["spec"]["containers"][0]["securityContext"]["runAsUzer"] = 0
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, SCHEMAS[-1], strict=True)


def contexts() -> list[tuple[str, dict[str, Any], list[str]]]:
    """Each container of lastwords: its name here, its security context, and the capabilities that it needs."""
    made = [(name, debugged(name)["spec"]["ephemeralContainers"][0]) for name in CUSTOMS]
    beside = [one for one in load("shared-pod.yaml")["spec"]["containers"] if one["name"] == "lastwords"]
    named = [*made, *(("shared-pod.yaml", one) for one in beside)]
    return [(name, one["securityContext"], [] if name == "as-owner.yaml" else NEEDED) for name, one in named]


@pytest.mark.parametrize(
    ("name", "context", "needed"), contexts(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_nothing_more_than_needed_is_granted(name: str, context: dict[str, Any], needed: list[str]) -> None:
    assert context["capabilities"].get("add", []) == needed and context["capabilities"]["drop"] == ["ALL"]
    assert context["allowPrivilegeEscalation"] is False and "privileged" not in context
    assert context["seccompProfile"] == {"type": "RuntimeDefault"} and context["readOnlyRootFilesystem"] is True
    assert (context["runAsUser"] == 0) == bool(needed), "capabilities reach root alone"


def test_the_pod_shares_processes_and_nothing_of_its_node() -> None:
    spec = load("shared-pod.yaml")["spec"]
    assert spec["shareProcessNamespace"] is True and spec["automountServiceAccountToken"] is False
    assert not {"hostPID", "hostIPC", "hostNetwork", "volumes"} & set(spec)


def test_the_role_may_do_nothing_but_add_a_container_and_hear_it() -> None:
    verbs = {tuple(rule["resources"]): set(rule["verbs"]) for rule in load("rbac.yaml")["rules"]}
    assert verbs.pop(("pods",)) == {"get", "list", "watch"}
    assert verbs == {("pods/ephemeralcontainers",): {"patch"}, ("pods/attach",): {"create"}, ("pods/log",): {"get"}}


def commands() -> list[str]:
    texts = [
        PAGE.read_text(),
        *(path.read_text().replace("\n# ", "\n") for path in sorted(DIRECTORY.glob("as-*.yaml"))),
    ]
    found = re.findall(r"kubectl debug (?:[^\n\\]|\\\n)*", "\n".join(texts))
    return [one.replace("\\\n", " ") for one in [*found, f"{DEBUG} {CUSTOM} --arguments-only -- attach 1"]]


@pytest.mark.parametrize("command", commands())
def test_kubectl_knows_the_flags_that_are_told(command: str) -> None:
    words = shlex.split(command, comments=True)
    flags = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert flags <= FLAGS and flags >= {"--image", "--target", "--arguments-only"}
    assert words[words.index("--") + 1] in ("attach", "doctor", "ps")
    custom = next((word.partition("=")[2] for word in words if word.startswith("--custom=")), None)
    assert custom is None or (CHECKOUT / custom).is_file()


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 5
