# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers and processes keep their AppArmor profile, threads, locks and connections on an enabled host."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from matrix_checks import APPARMOR, entry, require_connection, require_counting_on, require_same_labels

RUNTIMES = ("runc", "crun")
COUNTING = [f"{kind}-{runtime}" for kind in ("threads", "unit") for runtime in RUNTIMES]
CONNECTED = [f"redis-{runtime}" for runtime in RUNTIMES]
ARCHIVED = [f"{kind}-{runtime}" for kind in ("threads", "redis") for runtime in RUNTIMES]


@pytest.fixture(scope="module")
def matrix(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The observations of these cases."""
    cases = "|".join(f"{case}$" for case in [*COUNTING, *CONNECTED])
    # A second run of each task is seen on the host with SELinux.
    return seen_by("matrix.yml", matrix_only=cases, matrix_again="false")


@pytest.fixture(scope="module")
def processes(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The answers of the tasks for processes in profiles of their own."""
    return seen_by("../apparmor_host/processes.yml")


def test_apparmor_rules_alone(host: Any) -> None:
    assert "apparmor" in host.file("/sys/kernel/security/lsm").content_string.split(",")
    assert not host.file("/sys/fs/selinux/enforce").exists


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_self_test_proved_the_profile_of_every_thread(host: Any, runtime: str) -> None:
    kept = json.loads(host.file("/etc/ansible/facts.d/checkpoint_host.fact").content_string)
    (proof,) = [proof for proof in kept["proofs"] if proof["runtime"] == runtime]
    assert proof["threads"] >= 5
    assert proof["label_before"] == proof["label_after"]
    assert APPARMOR.fullmatch(proof["label_after"])
    assert min(proof["counters_after"]) > max(proof["counters_before"])


@pytest.mark.parametrize("case", [*COUNTING, *CONNECTED])
def test_every_thread_has_the_same_profile(matrix: dict[str, Any], case: str) -> None:
    require_same_labels(entry(matrix, case), APPARMOR)


@pytest.mark.parametrize("case", [*COUNTING, *CONNECTED])
def test_the_restore_says_what_it_proved(matrix: dict[str, Any], case: str) -> None:
    restored = entry(matrix, case)["restored"]
    assert restored["label_proof"] == "apparmor"
    assert sum(one["threads"] for one in restored["labels"]) >= 4
    assert all(one["before"] == one["after"] != "" for one in restored["labels"])


@pytest.mark.parametrize("case", COUNTING)
def test_every_thread_continues_to_count(matrix: dict[str, Any], case: str) -> None:
    require_counting_on(entry(matrix, case))


@pytest.mark.parametrize("case", CONNECTED)
@pytest.mark.parametrize("moment", ["after", "after_import"])
def test_the_connection_continues(matrix: dict[str, Any], case: str, moment: str) -> None:
    require_connection(entry(matrix, case), moment)


@pytest.mark.parametrize("case", ARCHIVED)
def test_the_archive_restores_the_same_container(matrix: dict[str, Any], case: str) -> None:
    seen = entry(matrix, case)
    assert seen["after_import"]["threads"] == seen["before"]["threads"]
    assert seen["imported"]["label_proof"] == "apparmor"


def labels(seen: dict[str, Any], moment: str) -> set[str]:
    return {thread["label"] for thread in seen[moment]["threads"]}


@pytest.mark.parametrize(
    ("name", "label"),
    [("plain", "lab-plain (enforce)"), ("complain", "lab-complain (complain)"), ("tight", "lab-tight (enforce)")],
)
def test_a_process_comes_back_in_its_profile(processes: dict[str, Any], name: str, label: str) -> None:
    seen = processes[name]
    assert labels(seen, "before") == labels(seen, "after") == {label}
    assert seen["after"]["threads"] == seen["before"]["threads"]
    assert seen["restored"]["label_proof"] == "apparmor"


def test_a_profile_with_a_blank_in_its_name_is_refused_and_the_process_goes_on(processes: dict[str, Any]) -> None:
    seen = processes["blank"]
    assert seen["dumped"]["reason"] == seen["dump_predicted"]["reason"] == "apparmor_profile_name"
    assert labels(seen, "after") == {"lab two words (enforce)"}


def test_a_restore_without_the_profile_is_refused_and_succeeds_with_it(processes: dict[str, Any]) -> None:
    seen = processes["unloaded"]
    assert seen["unloaded"]["reason"] == seen["unloaded_predicted"]["reason"] == "apparmor_profile_missing"
    assert "lab-unloaded" in seen["unloaded"]["msg"]
    assert seen["restored"]["label_proof"] == "apparmor"
    assert labels(seen, "after") == {"lab-unloaded (enforce)"}
