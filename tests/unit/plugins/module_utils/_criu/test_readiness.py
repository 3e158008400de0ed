# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import copy
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.criu.hosts.plugins.module_utils._criu import readiness
from ansible_collections.criu.hosts.plugins.module_utils._host import remedies
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.rules import PURPOSES
from ansible_collections.criu.hosts.plugins.modules import criu_info

ROOT = Path(__file__).parents[5]

# A host that is ready for all but rootless containers.
READY: dict[str, Any] = {
    "path": "/usr/local/sbin/criu",
    "version": "4.2.1",
    "selinux": True,
    "nftables": True,
    "capabilities": {"effective": True, "permitted": ["cap_checkpoint_restore"], "inheritable": []},
    "check": {"passed": True, "log": []},
    "features": dict.fromkeys(readiness.FEATURES, True),
    "config": {},
    "config_error": None,
    "installed": {"intact": True},
    "lsm": {
        "selinux": {
            "mode": "enforcing",
            "policy": "default",
            "booleans": {"criu_container_restore": "off", "virt_sandbox_use_all_caps": None},
            "lets_users": True,
        }
    },
    "system": {"family": "debian", "name": "debian 13"},
    "kernel": {"release": "6.12.117", "version": [6, 12, 117], "checkpoint_restore": True, "ptrace_scope": 0},
    "kdat": {"path": "/run/criu.kdat", "present": True, "stale": None},
    "network_lock": {"backend": "nftables", "source": "build", "usable": True},
    "podman": {"path": "/usr/bin/podman", "version": "5.4.2"},
    "runtimes": [
        {"name": "runc", "path": "/usr/sbin/runc", "version": "1.1.15", "checkpoint": True, "why_not": None},
        {"name": "crun", "path": "/usr/bin/crun", "version": "1.21", "checkpoint": True, "why_not": None},
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    """READY with values changed; ``lsm__selinux__mode`` reaches into dictionaries."""
    value = copy.deepcopy(READY)
    for keys, new in changes.items():
        *way, last = keys.split("__")
        inner = value
        for key in way:
            inner = inner[key]
        inner[last] = new
    return value


def blocked(value: dict[str, Any]) -> dict[str, list[str]]:
    """The codes that block, by intent, without rootless, which is always blocked."""
    answers = readiness.judge(value)
    found = {
        intent: [one["code"] for one in answer["reasons"] if one["level"] == "blocks"]
        for intent, answer in answers.items()
        if intent != "rootless"
    }
    return {intent: codes for intent, codes in found.items() if codes}


def test_a_ready_host() -> None:
    answers = readiness.judge(READY)
    assert tuple(answers) == readiness.INTENTS
    assert {intent for intent, answer in answers.items() if answer["ready"]} == set(readiness.INTENTS) - {"rootless"}
    assert answers["container"]["reasons"] == []
    assert [one["code"] for one in answers["rootless"]["reasons"]] == ["rootless_unsupported"]


ALL = set(readiness.INTENTS) - {"rootless"}
NETWORK = {"tcp_established", *readiness.CONTAINERS}
NO_CRUN = {"name": "crun", "path": None, "version": None, "checkpoint": False, "why_not": "crun is not installed"}


@pytest.mark.parametrize(
    ("changes", "code", "intents"),
    [
        pytest.param({"path": None}, "criu_missing", ALL, id="no-criu"),
        pytest.param({"config_error": "criu: unrecognized option '--x'"}, "config_broken", ALL, id="bad-config"),
        pytest.param({"selinux": False}, "labels_lost", ALL, id="without-libselinux"),
        pytest.param({"lsm__selinux__booleans__criu_container_restore": None}, "policy_missing", ALL, id="no-policy"),
        pytest.param({"check": {"passed": False, "log": ["x"]}}, "check_failed", ALL, id="check"),
        pytest.param({"kdat__stale": "boot"}, "kdat_stale", ALL, id="kdat-of-another-boot"),
        pytest.param({"kdat__stale": "build"}, "kdat_stale", ALL, id="kdat-of-another-build"),
        pytest.param({"features__fdinfo_lock": False}, "file_locks_untold", {"file_locks"}, id="locks"),
        pytest.param({"features__mem_dirty_track": False}, "dirty_tracking_missing", {"pre_dump"}, id="tracking"),
        pytest.param({"features__uffd-noncoop": False}, "userfaultfd_missing", {"lazy_pages"}, id="uffd"),
        pytest.param(
            {"features__clone3_set_tid": False}, "clone3_missing", {"non_root", "multi_threaded"}, id="clone3-enforcing"
        ),
        pytest.param(
            {"features__clone3_set_tid": False, "lsm__selinux__mode": "disabled"},
            "clone3_missing",
            {"non_root"},
            id="clone3",
        ),
        pytest.param({"network_lock__usable": False}, "network_lock_missing", NETWORK, id="lock"),
        pytest.param({"podman__path": None}, "engine_missing", set(readiness.CONTAINERS), id="no-podman"),
        pytest.param({"runtimes": [NO_CRUN]}, "runtime_missing", set(readiness.CONTAINERS), id="no-runtime"),
        pytest.param({"kernel__checkpoint_restore": False}, "capability_unknown_to_kernel", {"non_root"}, id="5.8"),
        pytest.param({"capabilities": None}, "file_capability_missing", {"non_root"}, id="no-capability"),
        pytest.param({"capabilities__effective": False}, "file_capability_missing", {"non_root"}, id="not-effective"),
        pytest.param({"kernel__ptrace_scope": 1}, "ptrace_restricted", {"non_root"}, id="yama"),
        pytest.param({"lsm__selinux__lets_users": False}, "policy_without_users", {"non_root"}, id="no-rules"),
        pytest.param({"version": "3.17.1"}, "criu_too_old", {"non_root"}, id="no-unprivileged"),
    ],
)
def test_what_blocks(changes: dict[str, Any], code: str, intents: set[str]) -> None:
    assert blocked(changed(**changes)) == {intent: [code] for intent in readiness.INTENTS if intent in intents}


@pytest.mark.parametrize(
    ("changes", "code", "intent"),
    [
        pytest.param({"lsm__selinux__mode": "permissive"}, "selinux_permissive", "container", id="permissive"),
        pytest.param({"selinux": None}, "linkage_unknown", "container", id="script"),
        pytest.param({"installed": {"intact": False}}, "build_damaged", "container", id="damaged"),
        pytest.param({"kdat__stale": "policy"}, "kdat_stale", "container", id="kdat-policy"),
        pytest.param(
            {"kdat__stale": "build", "lsm__selinux__mode": "disabled"}, "kdat_stale", "container", id="kdat-build"
        ),
        pytest.param({"network_lock__backend": "skip"}, "network_not_locked", "tcp_established", id="skip"),
        pytest.param({"version": "4.1"}, "known_bad_pair", "migration_target", id="mounts"),
        pytest.param({}, "runtime_limited", "lazy_pages", id="crun-without-lazy-pages"),
    ],
)
def test_what_warns(changes: dict[str, Any], code: str, intent: str) -> None:
    answer = readiness.judge(changed(**changes))[intent]
    assert answer["ready"] is True
    assert (code, "warns") in [(one["code"], one["level"]) for one in answer["reasons"]]


def test_one_runtime_that_cannot_only_warns() -> None:
    why = "libcriu.so.2 cannot be loaded"
    crun = {"name": "crun", "path": "/usr/bin/crun", "version": "1.19.1", "checkpoint": False, "why_not": why}
    answer = readiness.judge(changed(runtimes=[READY["runtimes"][0], crun]))["container"]
    assert answer["ready"] is True
    assert [one["message"] for one in answer["reasons"]] == [
        f"crun cannot checkpoint: {why}.",
        "crun 1.19.1: it makes CRIU lock the network with iptables, whatever CRIU's default is.",
    ]


def test_nothing_is_said_of_a_kernel_that_was_not_asked() -> None:
    answer = readiness.judge(changed(check={"passed": None, "log": []}, features={}))["file_locks"]
    assert answer["ready"] is None and [one["level"] for one in answer["reasons"]] == ["unknown"]


def test_the_policy_explains_a_failing_check_and_blocks_come_first() -> None:
    value = changed(check={"passed": False, "log": []}, lsm__selinux__booleans__criu_container_restore=None)
    value["kdat"]["stale"] = "policy"
    reasons = readiness.judge(value)["file_locks"]["reasons"]
    assert [one["code"] for one in reasons] == ["policy_missing", "kdat_stale"]


def test_container_selinux_has_the_rules() -> None:
    value = changed(
        lsm__selinux__booleans={"criu_container_restore": None, "virt_sandbox_use_all_caps": "on"},
        system={"family": "redhat", "name": "fedora 43"},
    )
    assert blocked(value) == {}


CONF = "/etc/criu/default.conf"


@pytest.mark.parametrize(
    ("changes", "iptables", "expected"),
    [
        pytest.param({}, False, ("nftables", "build", True), id="ours"),
        pytest.param({"nftables": False}, False, ("iptables", "build", False), id="ours-without-nftables"),
        pytest.param({"nftables": False}, True, ("iptables", "build", True), id="ours-and-iptables"),
        pytest.param({"installed": None}, False, ("iptables", "package", False), id="package"),
        pytest.param({"config": {CONF: "network-lock iptables"}}, False, ("iptables", CONF, False), id="config"),
        pytest.param(
            {"config": {CONF: "# network-lock skip\nnetwork-lock=nftables\n"}},
            False,
            ("nftables", CONF, True),
            id="comment",
        ),
        pytest.param(
            {"config": {"/etc/criu/x.conf": "network-lock skip"}}, True, ("nftables", "build", True), id="other"
        ),
        pytest.param({"config": {CONF: "network-lock 'skip'"}}, False, ("skip", CONF, True), id="skip"),
        pytest.param(
            {"installed": None, "system": {"family": "redhat"}}, False, ("nftables", "package", True), id="redhat"
        ),
        pytest.param(
            {"config": {CONF: "network-lock nftables"}, "nftables": False},
            True,
            ("nftables", CONF, False),
            id="unlinked",
        ),
        pytest.param({"features": {}}, False, ("nftables", "build", None), id="not-asked"),
        pytest.param({"path": None}, True, (None, None, None), id="no-criu"),
    ],
)
def test_network_lock(changes: dict[str, Any], iptables: bool, expected: tuple[Any, ...]) -> None:
    lock = readiness.network_lock(changed(**changes), iptables=iptables)
    assert (lock["backend"], lock["source"], lock["usable"]) == expected


def test_the_policy_for_users_has_every_purpose() -> None:
    assert remedies.LOAD_POLICY_FOR_USERS["vars"]["criu_selinux_purposes"] == list(PURPOSES)


def test_the_task_for_the_lock_fits_the_criu() -> None:
    def task(**changes: Any) -> Any:
        return readiness.judge(changed(network_lock__usable=False, **changes))["tcp_established"]["reasons"][0]["task"]

    assert task() == remedies.LOCK_WITH_NFTABLES
    assert task(installed=None) == remedies.INSTALL_CRIU, "Debian's CRIU 4.1.1 crashes when a file says nftables"


@pytest.mark.parametrize("task", remedies.ALL, ids=lambda task: str(task["name"]))
def test_every_remedy_is_a_task_that_exists(task: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml.safe_dump(task)) == task
    (action,) = [key for key in task if "." in key]
    if action == "ansible.builtin.include_role":
        role = task[action]["name"].removeprefix("criu.hosts.")
        specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
        known = set(specs["argument_specs"]["main"]["options"])
        if role == "checkpoint_host":
            known |= {"criu_artifact"}
        assert set(task.get("vars", {})) <= known
    elif action.startswith("criu.hosts."):
        name = action.removeprefix("criu.hosts.")
        spec = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{name}").SPEC
        assert set(task[action]) <= set(spec)
    else:
        assert action == "ansible.builtin.file"


def test_every_code_is_documented() -> None:
    source = Path(readiness.__file__).read_text(encoding="utf-8")
    codes = {
        node.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "reason"
        and isinstance(node.args[0], ast.Constant)
    }
    documented = yaml.safe_load(criu_info.RETURN)["criu"]["contains"]["readiness"]["description"]
    told = set(re.findall(r"V\(([a-z_0-9]+)\)", next(text for text in documented if text.startswith("The codes"))))
    assert codes == told
    intents = set(re.findall(r"V\(([a-z_]+)\)", documented[0]))
    assert intents == set(readiness.INTENTS)
