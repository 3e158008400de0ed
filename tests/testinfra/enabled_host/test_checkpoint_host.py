# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint-enabled host: what is set up, and what real containers keep through dump and restore."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

RUNTIMES = ("runc", "crun")
BY_MODULES = [f"{kind}-{runtime}" for kind in ("threads", "bridge", "locks", "redis", "unit") for runtime in RUNTIMES]
BY_UNITS = [f"all-unit-{runtime}" for runtime in RUNTIMES]
COUNTING = [name for name in [*BY_MODULES, *BY_UNITS] if not name.startswith("redis")]
ARCHIVED = [f"{kind}-{runtime}" for kind in ("threads", "redis") for runtime in RUNTIMES]
CONNECTED = [f"redis-{runtime}" for runtime in RUNTIMES]


def entry(matrix: dict[str, Any], case: str) -> dict[str, Any]:
    found = [one for one in matrix["cases"] if one["case"] == case]
    assert len(found) == 1, f"{case} was run {len(found)} times"
    return found[0]


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
    assert proofs[0]["threads"] >= 5
    assert proofs[0]["label_before"] == proofs[0]["label_after"]
    assert ":container_t:" in proofs[0]["label_after"]
    assert min(proofs[0]["counters_after"]) > max(proofs[0]["counters_before"])


def test_self_test_leaves_nothing(host: Any) -> None:
    assert host.check_output("podman ps --all --quiet --filter name=criu-hosts-self-test") == ""


def test_every_case_was_run(matrix: dict[str, Any]) -> None:
    assert sorted(one["case"] for one in matrix["cases"]) == sorted([*BY_MODULES, *BY_UNITS])


@pytest.mark.parametrize("case", [*BY_MODULES, *BY_UNITS])
def test_every_thread_has_the_label_it_had(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    assert len(seen["before"]["threads"]) >= 4
    assert seen["after"]["threads"] == seen["before"]["threads"]
    assert {re.sub(r":s0:c\d+,c\d+$", "", thread["label"]) for thread in seen["after"]["threads"]} == {
        "system_u:system_r:container_t"
    }


@pytest.mark.parametrize("case", COUNTING)
def test_every_thread_counts_on(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    before, after = seen["before"]["counters"], seen["after"]["counters"]
    assert len(before) == 4
    assert set(after) == set(before)
    assert all(after[number] >= before[number] for number in before)


@pytest.mark.parametrize("case", BY_MODULES)
def test_the_modules_tell_what_they_did(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    assert seen["dumped"]["changed"] is True
    assert seen["restored"]["changed"] is True
    assert all(one["before"] == one["after"] for one in seen["restored"]["labels"])


@pytest.mark.parametrize("case", [name for name in BY_MODULES if name.startswith("locks")])
def test_the_file_lock_is_held_again(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    assert seen["before"]["locks"] == seen["after"]["locks"] == 1


@pytest.mark.parametrize("case", CONNECTED)
@pytest.mark.parametrize("moment", ["after", "after_import"])
def test_the_connection_goes_on(matrix: dict[str, Any], case: str, moment: str) -> None:
    seen = entry(matrix, case)
    count_before, port_before = re.fullmatch(r"count (\d+) port (\d+)", seen["before"]["client"]).groups()
    later = re.fullmatch(r"count (\d+) port (\d+)", seen[moment]["client"])
    assert later, seen[moment]["client"]
    assert later.group(2) == port_before
    assert int(later.group(1)) >= int(count_before)


@pytest.mark.parametrize("case", ARCHIVED)
def test_the_archive_restores_the_same_container(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    assert seen["exported"]["changed"] is True
    assert seen["imported"]["changed"] is True
    assert seen["after_import"]["id"] == seen["before"]["id"]
    assert seen["after_import"]["threads"] == seen["before"]["threads"]


@pytest.mark.parametrize("case", ARCHIVED)
@pytest.mark.parametrize("task", ["exported_again", "imported_again"])
def test_a_second_run_changes_nothing(matrix: dict[str, Any], case: str, task: str) -> None:
    again = entry(matrix, case)[task]
    assert again["changed"] is False
    assert again["commands"] == []


@pytest.mark.parametrize("case", ARCHIVED)
def test_archives_are_private(host: Any, matrix: dict[str, Any], case: str) -> None:
    assert entry(matrix, case)["exported"]["changed"]
    archive = host.file(f"/var/lib/lab/matrix/{case}.tar.zst")
    assert (archive.user, archive.mode) == ("root", 0o600)


def test_nothing_was_denied(matrix: dict[str, Any]) -> None:
    assert matrix["denials"] == []
