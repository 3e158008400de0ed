# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of Debian 12 and 13 without a security module, after enable_host."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from plays import SOURCE, Played, play

# Debian 12's crun is compiled without CRIU.
RUNTIMES = {"node-bookworm": ["runc"], "node-trixie": ["crun", "runc"]}
MOST_TASKS = 15


@pytest.fixture(scope="module")
def name(host: Any) -> str:
    found: str = host.backend.get_hostname()
    return found


@pytest.fixture(scope="module")
def again(name: str) -> Played:
    """Another run of the play that has enabled the host."""
    return play("criu.hosts.enable_host", name, criu_method="auto", criu_source=SOURCE)


@pytest.fixture(scope="module")
def seen(name: str, seen_by: Callable[..., dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was seen of a container that was dumped and restored, by the runtime."""
    return {one: seen_by("../plain_hosts/container.yml", plain_runtime=one) for one in RUNTIMES[name]}


def test_the_host_has_no_security_module(host: Any) -> None:
    assert not host.file("/sys/fs/selinux/enforce").exists
    assert not host.file("/sys/kernel/security/apparmor").exists


def test_the_self_test_proved_each_runtime_that_can_checkpoint(host: Any, name: str) -> None:
    kept = json.loads(host.file("/etc/ansible/facts.d/checkpoint_host.fact").content_string)
    assert sorted(proof["runtime"] for proof in kept["proofs"]) == RUNTIMES[name]
    assert {proof["label_proof"] for proof in kept["proofs"]} == {"selinux_disabled"}
    assert kept["ground"]["lsm"] == "none"
    assert all(min(proof["counters_after"]) > max(proof["counters_before"]) for proof in kept["proofs"])


def test_criu_was_built_and_the_compiler_removed(host: Any) -> None:
    assert host.check_output("readlink -f /usr/sbin/criu").startswith("/opt/criu-hosts/4.2.1-")
    assert not host.package("gcc").is_installed
    assert not host.package("libprotobuf-dev").is_installed


def test_another_run_changes_nothing_in_few_tasks(again: Played, name: str) -> None:
    assert again.rc == 0, again.output
    assert again.count(name, "changed") == 0
    assert again.count(name, "ok") <= MOST_TASKS


def test_a_runtime_that_cannot_checkpoint_is_reported(again: Played, name: str) -> None:
    sentence = f"on '{name}' cannot checkpoint ("
    if name == "node-bookworm":
        assert sentence in again.text
        assert "create containers with runc (podman --runtime" in again.text
    else:
        assert sentence not in again.text


def test_the_host_is_ready_for_containers(seen: dict[str, dict[str, Any]]) -> None:
    for one in seen.values():
        assert one["criu"]["readiness"]["container"]["ready"] is True
        assert one["criu"]["lsm"]["ruling"] == "none"


def test_a_container_continues_from_an_archive(seen: dict[str, dict[str, Any]], name: str) -> None:
    assert sorted(seen) == RUNTIMES[name]
    for one in seen.values():
        assert one["after"]["nonce"] == one["before"]["nonce"]
        assert min(one["after"]["counters"]) > max(one["before"]["counters"])
        assert one["restored"]["label_proof"] == "selinux_disabled"
