# SPDX-License-Identifier: GPL-3.0-or-later
"""The state that enable_host sets up on a host, and that must remain after a reboot."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

RUNTIMES = ("runc", "crun")


def test_selinux_is_enforcing(host: Any) -> None:
    assert host.check_output("getenforce") == "Enforcing"


def test_every_caller_finds_the_same_criu(host: Any) -> None:
    paths = host.check_output("readlink -f /usr/sbin/criu /usr/local/sbin/criu").split()
    assert len(set(paths)) == 1
    assert paths[0].startswith("/opt/criu-hosts/")


def test_criu_is_linked_with_libselinux(host: Any) -> None:
    assert "libselinux.so.1" in host.check_output("ldd /usr/sbin/criu")


def test_criu_works_with_its_configuration_files(host: Any) -> None:
    assert host.run("criu check --feature mnt_id").rc == 0


def test_policy_module_is_enabled(host: Any) -> None:
    modules = host.check_output("semodule -lfull")
    assert re.search(r"^400 +criu_hosts +cil *$", modules, re.M)


@pytest.mark.parametrize("boolean", ["criu_container_restore", "unconfined_dyntrans_all"])
def test_boolean_exists_and_is_off(host: Any, boolean: str) -> None:
    assert host.check_output(f"getsebool {boolean}") == f"{boolean} --> off"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_proof_is_kept_on_the_host(host: Any, runtime: str) -> None:
    kept = json.loads(host.file("/etc/ansible/facts.d/checkpoint_host.fact").content_string)
    proofs = [proof for proof in kept["proofs"] if proof["runtime"] == runtime]
    assert len(proofs) == 1
    assert proofs[0]["label_proof"] == "enforcing"
    assert proofs[0]["threads"] >= 5
    assert proofs[0]["label_before"] == proofs[0]["label_after"]
    assert ":container_t:" in proofs[0]["label_after"]
    assert min(proofs[0]["counters_after"]) > max(proofs[0]["counters_before"])


def test_self_test_leaves_nothing(host: Any) -> None:
    assert host.check_output("podman ps --all --quiet --filter name=criu-hosts-self-test") == ""
