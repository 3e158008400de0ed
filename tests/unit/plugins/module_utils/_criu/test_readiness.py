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

from ansible_collections.criu.hosts.plugins.module_utils._criu import host_findings, readiness
from ansible_collections.criu.hosts.plugins.module_utils._host import remedies
from ansible_collections.criu.hosts.plugins.module_utils._host.names import BOOLEANS
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
        "ruling": "selinux",
        "active": ["capability", "yama", "selinux"],
        "apparmor": {"enabled": False, "parser": None, "container_profiles": None},
        "selinux": {
            "mode": "enforcing",
            "policy": "default",
            "booleans": {"criu_container_restore": "off", "virt_sandbox_use_all_caps": None},
            "lets_users": True,
        },
    },
    "system": {"family": "debian", "name": "debian 13"},
    "support": {"level": "supported", "text": "Debian 13 with SELinux is supported: x."},
    "kernel": {
        "release": "6.12.117",
        "version": [6, 12, 117],
        "architecture": "x86_64",
        "checkpoint_restore": True,
        "ptrace_scope": 0,
        "io_uring": "allowed",
    },
    "kdat": {"path": "/run/criu.kdat", "present": True, "stale": None},
    "network_lock": {"backend": "nftables", "source": "build", "usable": True},
    "podman": {
        "path": "/usr/bin/podman",
        "version": "5.4.2",
        "storage": {"root": "/var/lib/containers/storage", "driver": "overlay"},
    },
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


def answers(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = readiness.judge(value)["readiness"]
    return found


def reasons(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The reasons by code."""
    return {one["code"]: one for one in readiness.judge(value)["reasons"]}


def level(reason: dict[str, Any], intent: str) -> str:
    return "warns" if intent in reason["only_warns"] else str(reason["level"])


def blocked(value: dict[str, Any]) -> dict[str, list[str]]:
    """The codes that block, by intent, without rootless, which is always blocked."""
    known = reasons(value)
    found = {
        intent: [code for code in answer["reasons"] if level(known[code], intent) == "blocks"]
        for intent, answer in answers(value).items()
        if intent != "rootless"
    }
    return {intent: codes for intent, codes in found.items() if codes}


def test_a_ready_host() -> None:
    found = answers(READY)
    assert tuple(found) == readiness.INTENTS
    assert {intent for intent, answer in found.items() if answer["ready"]} == set(readiness.INTENTS) - {"rootless"}
    assert found["container"]["reasons"] == []
    assert found["rootless"]["reasons"] == ["rootless_unsupported"]
    assert list(reasons(READY)) == ["rootless_unsupported", "runtime_limited"], "most severe first"


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
        pytest.param({"podman__path": None}, "podman_missing", set(readiness.CONTAINERS), id="no-podman"),
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


ENABLED = {"enabled": True, "parser": "/usr/sbin/apparmor_parser", "container_profiles": []}
OFF = {"mode": "disabled", "policy": None, "booleans": dict.fromkeys(BOOLEANS), "lets_users": None}
APPARMOR = {"ruling": "apparmor", "active": ["apparmor"], "selinux": OFF, "apparmor": ENABLED}


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
        pytest.param({"support__level": "experimental"}, "host_experimental", "non_root", id="experimental"),
        pytest.param({"kernel__architecture": "aarch64"}, "architecture_untried", "container", id="aarch64"),
        pytest.param(
            {"podman__storage__driver": "btrfs"}, "storage_untried", "migration_target", id="storage-on-btrfs"
        ),
        pytest.param({"podman__storage__root": "/srv/podman"}, "storage_untried", "container", id="storage-moved"),
        pytest.param({"lsm": APPARMOR}, "apparmor_profile_missing", "container", id="apparmor-after-a-boot"),
        pytest.param(
            {"lsm": {**APPARMOR, "apparmor": {**ENABLED, "parser": None}}},
            "apparmor_parser_missing",
            "container",
            id="apparmor-without-parser",
        ),
        pytest.param(
            {"lsm": {**APPARMOR, "apparmor": {**ENABLED, "container_profiles": None}}},
            "apparmor_profiles_unreadable",
            "migration_source",
            id="apparmor-without-securityfs",
        ),
    ],
)
def test_what_warns(changes: dict[str, Any], code: str, intent: str) -> None:
    value = changed(**changes)
    answer = answers(value)[intent]
    assert answer["ready"] is True
    assert code in answer["reasons"] and level(reasons(value)[code], intent) == "warns"


def test_apparmor_with_the_profile_of_containers() -> None:
    loaded = {**APPARMOR, "apparmor": {**ENABLED, "container_profiles": ["containers-default-0.62.2"]}}
    assert answers(changed(lsm=loaded))["container"] == {"ready": True, "reasons": []}


def test_the_labels_of_a_moved_storage_are_advised_only_with_selinux() -> None:
    moved = {"podman__storage__root": "/srv/podman"}
    assert "restorecon -R /srv/podman" in reasons(changed(**moved))["storage_untried"]["advice"]
    loaded = {**APPARMOR, "apparmor": {**ENABLED, "container_profiles": ["containers-default-0.62.2"]}}
    advice = reasons(changed(**moved, lsm=loaded))["storage_untried"]["advice"]
    assert advice == "Run the self-test of the role checkpoint_host."


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"support__level": "refused"}, "host_refused", id="refused"),
        pytest.param({"lsm__ruling": "other", "lsm__active": ["smack"]}, "lsm_unknown", id="smack"),
        pytest.param({"lsm__ruling": "both", "lsm__apparmor": ENABLED}, "lsm_stacked", id="selinux-and-apparmor"),
    ],
)
def test_what_is_unknown(changes: dict[str, Any], code: str) -> None:
    value = changed(**changes)
    found = answers(value)
    assert {intent: answer["ready"] for intent, answer in found.items()} == {
        **dict.fromkeys(readiness.INTENTS, None),
        "rootless": False,
    }
    assert level(reasons(value)[code], "file_locks") == "unknown"


def test_no_role_is_advised_on_a_host_that_the_roles_refuse() -> None:
    value = changed(support__level="refused", selinux=False, capabilities=None, kdat__stale="boot")
    found = reasons(value)
    assert found["labels_lost"]["task"] is None and found["file_capability_missing"]["task"] is None
    assert "artifact" not in found["labels_lost"]["advice"] and "host_refused" in found["labels_lost"]["advice"]
    assert found["kdat_stale"]["task"] == remedies.FORGET_KERNEL


def test_one_runtime_that_cannot_only_warns() -> None:
    why = "libcriu.so.2 cannot be loaded"
    crun = {"name": "crun", "path": "/usr/bin/crun", "version": "1.19.1", "checkpoint": False, "why_not": why}
    value = changed(runtimes=[READY["runtimes"][0], crun])
    assert answers(value)["container"] == {"ready": True, "reasons": ["runtime_limited"]}
    reason = reasons(value)["runtime_limited"]
    assert reason["message"] == (
        f"crun cannot checkpoint: {why}. "
        "crun 1.19.1: it makes CRIU lock the network with iptables, regardless of CRIU's default. "
        "crun 1.19.1: it has no option for lazy pages; runc has."
    )
    assert reason["task"] == remedies.enable_host(remedies.FROM_ARTIFACT)
    assert reason["advice"] == "Use the other runtime. Use runc, or another version."
    assert len(reason["sources"]) == 2


def test_a_reason_may_block_some_intents_and_only_warn_of_others() -> None:
    value = changed(features__clone3_set_tid=False, lsm__selinux__mode="disabled")
    reason = reasons(value)["clone3_missing"]
    assert reason["level"] == "blocks"
    assert reason["only_warns"] == ["container", "multi_threaded", "migration_source", "migration_target"]
    assert answers(value)["multi_threaded"] == {"ready": True, "reasons": ["clone3_missing"]}
    assert answers(value)["non_root"] == {"ready": False, "reasons": ["clone3_missing"]}


def test_each_code_is_returned_once() -> None:
    value = changed(version="3.17.1", kernel__version=[6, 18, 44], kernel__release="6.18.44")
    value["features"] = dict.fromkeys(readiness.FEATURES, False)
    codes = [one["code"] for one in readiness.judge(value)["reasons"]]
    assert len(codes) == len(set(codes)) and "known_bad_pair" in codes
    pair = reasons(value)["known_bad_pair"]
    assert len(pair["sources"]) == 2 and pair["message"].count("CRIU 3.17.1 on kernel 6.18.44: ") == 2
    assert "tcp_established" not in pair["only_warns"] and "container" in pair["only_warns"]
    for answer in answers(value).values():
        assert set(answer["reasons"]) <= set(codes) and len(answer["reasons"]) == len(set(answer["reasons"]))


def test_nothing_is_said_of_a_kernel_that_was_not_asked() -> None:
    value = changed(check={"passed": None, "log": []}, features={})
    assert answers(value)["file_locks"] == {"ready": None, "reasons": ["not_asked"]}
    assert reasons(value)["not_asked"]["level"] == "unknown"


def test_the_policy_explains_a_failing_check_and_blocks_come_first() -> None:
    value = changed(check={"passed": False, "log": []}, lsm__selinux__booleans__criu_container_restore=None)
    value["kdat"]["stale"] = "policy"
    assert answers(value)["file_locks"]["reasons"] == ["policy_missing", "kdat_stale"]


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


WITH_NFTABLES = remedies.lock_with_nftables(remedies.FROM_ARTIFACT)
NO_SELINUX = {"lsm__selinux__mode": "disabled"}
PACKAGE = {"installed": None, "selinux": False}


@pytest.mark.parametrize(
    ("backend", "changes", "task"),
    [
        pytest.param("iptables", {}, WITH_NFTABLES, id="ours"),
        pytest.param("nftables", {}, None, id="kernel-without-nftables"),
        pytest.param("nftables", {"nftables": False}, remedies.INSTALL_CRIU, id="not-linked"),
        # Debian's CRIU 4.1.1 crashes when a file says nftables.
        pytest.param("iptables", PACKAGE, remedies.INSTALL_CRIU, id="package"),
        pytest.param("iptables", {**PACKAGE, **NO_SELINUX}, remedies.INSTALL_IPTABLES, id="package-without-selinux"),
        pytest.param(
            "iptables",
            {**PACKAGE, **NO_SELINUX, "system__family": "redhat"},
            remedies.lock_with_nftables(remedies.FROM_DISTRIBUTION),
            id="redhat",
        ),
    ],
)
def test_the_task_for_the_lock_fits_the_criu(backend: str, changes: dict[str, Any], task: Any) -> None:
    value = changed(network_lock__usable=False, network_lock__backend=backend, **changes)
    assert reasons(value)["network_lock_missing"]["task"] == task


@pytest.mark.parametrize(
    ("changes", "code", "expected"),
    [
        pytest.param(
            {"path": None, "selinux": None, "installed": None}, "criu_missing", remedies.FROM_ARTIFACT, id="selinux"
        ),
        pytest.param({"podman__path": None}, "podman_missing", remedies.FROM_ARTIFACT, id="build"),
        pytest.param(
            {"podman__path": None, "installed": None}, "podman_missing", remedies.FROM_DISTRIBUTION, id="linked-package"
        ),
        pytest.param(
            {"podman__path": None, **PACKAGE}, "podman_missing", remedies.FROM_ARTIFACT, id="unlinked-package"
        ),
        pytest.param(
            {"podman__path": None, **PACKAGE, **NO_SELINUX},
            "podman_missing",
            remedies.FROM_DISTRIBUTION,
            id="package-without-selinux",
        ),
        pytest.param(
            {"path": None, **PACKAGE, **NO_SELINUX}, "criu_missing", remedies.FROM_DISTRIBUTION, id="without-selinux"
        ),
        pytest.param(
            {"capabilities": None, **PACKAGE, **NO_SELINUX},
            "file_capability_missing",
            remedies.FROM_DISTRIBUTION,
            id="users-without-selinux",
        ),
    ],
)
def test_an_artifact_is_advised_only_where_it_is_needed(changes: Any, code: str, expected: dict[str, str]) -> None:
    reason = reasons(changed(**changes))[code]
    variables = {name: value for name, value in reason["task"]["vars"].items() if "non_root" not in name}
    assert variables == expected
    assert ("artifact" in reason["advice"]) == (code == "criu_missing" and expected == remedies.FROM_ARTIFACT)


def methods() -> list[str]:
    """The values of the role's variable criu_method."""
    specs = yaml.safe_load((ROOT / "roles/criu/meta/argument_specs.yml").read_text(encoding="utf-8"))
    choices: list[str] = specs["argument_specs"]["main"]["options"]["criu_method"]["choices"]
    return choices


def all_remedies() -> list[dict[str, Any]]:
    made = (remedies.enable_host, remedies.let_users_run_criu, remedies.let_users_trace, remedies.lock_with_nftables)
    fixed = [value for value in vars(remedies).values() if isinstance(value, dict) and "name" in value]
    return fixed + [make(origin) for make in made for origin in (remedies.FROM_ARTIFACT, remedies.FROM_DISTRIBUTION)]


@pytest.mark.parametrize("task", all_remedies(), ids=lambda task: str(task["name"]))
def test_every_remedy_is_a_task_that_exists(task: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml.safe_dump(task)) == task
    (action,) = [key for key in task if "." in key]
    if action == "ansible.builtin.include_role":
        role = task[action]["name"].removeprefix("criu.hosts.")
        specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
        known = set(specs["argument_specs"]["main"]["options"])
        if role == "checkpoint_host":
            known |= {"criu_artifact", "criu_method"}
        given = task.get("vars", {})
        assert set(given) <= known
        assert given.get("criu_method") in (None, *methods())
    elif action.startswith("criu.hosts."):
        name = action.removeprefix("criu.hosts.")
        spec = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{name}").SPEC
        assert set(task[action]) <= set(spec)
    else:
        assert action in ("ansible.builtin.file", "ansible.builtin.package")


def test_every_code_is_documented() -> None:
    sources = [Path(one.__file__).read_text(encoding="utf-8") for one in (readiness, host_findings)]
    codes = {
        node.args[0].value
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Finding"
        and isinstance(node.args[0], ast.Constant)
    }
    documented = yaml.safe_load(criu_info.RETURN)["criu"]["contains"]
    (text,) = documented["reasons"]["contains"]["code"]["description"]
    assert codes == set(re.findall(r"V\(([a-z_0-9]+)\)", text))
    intents = set(re.findall(r"V\(([a-z_]+)\)", documented["readiness"]["description"][0]))
    assert intents == set(readiness.INTENTS)
    fields = documented["reasons"]["contains"]
    assert list(readiness.judge(READY)["reasons"][0]) == list(fields)
