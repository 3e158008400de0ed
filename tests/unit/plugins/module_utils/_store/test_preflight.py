# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests what differs between the host of a checkpoint and the one of its restore."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host
from ansible_collections.criu.hosts.plugins.module_utils._store.origin import host_of, origin_of, process_host_of
from ansible_collections.criu.hosts.plugins.module_utils._store.preflight import (
    attempts,
    differences,
    missing_features,
    reasons_of,
    together,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.tests.unit.stored import HOST, RECORD, manifest_of, store_checkpoint

WHAT = "restore container 'web'"


@pytest.mark.parametrize(
    ("there", "here", "reasons"),
    [
        pytest.param({}, {}, [], id="same"),
        pytest.param({"architecture": "aarch64"}, {"cpu_features": ()}, ["architecture_mismatch"], id="architecture"),
        pytest.param({"cpu_features": ("avx2", "fpu")}, {}, ["cpu_mismatch"], id="processor"),
        pytest.param({"cpu_features": ("fpu", "monitor", "constant_tsc")}, {}, [], id="what-only-the-kernel-uses"),
        pytest.param({"cpu_features": ("avx2",)}, {"cpu_features": ()}, [], id="unknown-processor"),
        pytest.param({"kernel": "6.18.2-1"}, {}, ["kernel_too_old"], id="kernel"),
        pytest.param({"kernel": "6.12.99-2"}, {}, [], id="kernel-of-other-corrections"),
        pytest.param({"kernel": "6.1.0-40-amd64"}, {}, [], id="newer-kernel"),
        pytest.param({"criu": "4.3"}, {}, ["criu_too_old"], id="criu"),
        pytest.param({"criu": "4.2.9"}, {}, [], id="criu-of-other-corrections"),
        pytest.param({"criu": "4.3"}, {"criu": ""}, [], id="no-criu"),
        pytest.param({"engine_version": "6.0.1"}, {}, ["engine_too_old"], id="engine"),
        pytest.param({"engine_version": "29.0", "engine": "other"}, {}, [], id="another-engine"),
        pytest.param({"cgroup_version": 1}, {}, ["cgroup_mismatch"], id="cgroups"),
        pytest.param({"cgroup_version": 0}, {}, [], id="unknown-cgroups"),
        pytest.param({"lsm": "apparmor"}, {}, ["lsm_mismatch"], id="lsm"),
        pytest.param({"lsm": "selinux"}, {"lsm": "none"}, ["lsm_mismatch"], id="no-lsm"),
        pytest.param({"lsm": "none"}, {}, [], id="no-labels"),
        pytest.param(
            {"cpu_features": ("avx2",), "kernel": "7.0.1", "criu": "5.0", "cgroup_version": 1, "lsm": "apparmor"},
            {},
            ["cpu_mismatch", "kernel_too_old", "criu_too_old", "cgroup_mismatch", "lsm_mismatch"],
            id="all-at-once",
        ),
    ],
)
def test_differences(there: dict[str, Any], here: dict[str, Any], reasons: list[str]) -> None:
    found = differences(replace(HOST, **there), replace(HOST, **here), WHAT)
    assert [one.reason for one in found] == reasons
    for one in reasons_of(found):
        assert one["message"].startswith("Cannot restore container 'web': ") and one["message"].endswith(".")
        assert one["remedy"].endswith(".")


def test_of_an_unknown_host_nothing_differs() -> None:
    assert differences(Host(), HOST, WHAT) == differences(HOST, Host(), WHAT) == []


def test_every_feature_of_another_architecture_counts() -> None:
    there = Host(architecture="aarch64", cpu_features=("fp", "sve"))
    assert missing_features(there, replace(there, cpu_features=("fp",))) == ("sve",)


def test_many_features_are_counted() -> None:
    there = replace(HOST, cpu_features=("aes", "avx", "avx2", "bmi1", "bmi2", "fma4", "xop"))
    (found,) = differences(there, HOST, WHAT)
    assert "may use aes, avx, avx2, bmi1, bmi2 and 2 more, which" in found.message


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("Cannot do it: this is why. Do that.", "Do that."),
        ("Cannot use '/a. B/c': why 4.2.1 is old. Do 'x. Y'. Or that.", "Do 'x. Y'. Or that."),
        ("Cannot do it: the archive's (status 'exited') is so. Remove it.", "Remove it."),
        ("Cannot do it: nothing helps.", ""),
        ('Cannot do it: "a. B" is so. Do that.', "Do that."),
    ],
)
def test_the_remedy_is_what_follows_the_first_sentence(message: str, remedy: str) -> None:
    (found,) = reasons_of([CheckpointError(message, reason="word")])
    assert (found["reason"], found["remedy"]) == ("word", remedy)
    assert f"{found['message']} {remedy}".strip() == message


def refuse(reason: str) -> Any:
    raise CheckpointError(f"Cannot do it: {reason}. Change it.", reason=reason, path="/a")


def test_the_first_failure_has_all() -> None:
    errors = attempts([lambda: refuse("one"), lambda: None, lambda: refuse("two"), lambda: refuse("three")])
    found = together(errors)
    assert found is errors[0]
    assert found.message == "Cannot do it: one. Change it. There are 2 more reasons: see reasons."
    assert found.facts["path"] == "/a"
    assert [one["reason"] for one in found.facts["reasons"]] == ["one", "two", "three"]
    alone = together(attempts([lambda: refuse("one")]))
    assert alone.message == "Cannot do it: one. Change it." and len(alone.facts["reasons"]) == 1


APPARMOR = {"pid": "1", "tid": "1", "comm": "a", "label": "containers-default-0.62.2 (enforce)", "sockcreate": None}


@pytest.mark.parametrize(
    ("changed", "lsm"),
    [
        ({}, "selinux"),
        ({"process_label": ""}, "none"),
        ({"selinux": "disabled"}, "none"),
        ({"process_label": "", "labels": ({**APPARMOR, "label": "unconfined"},)}, "none"),
        ({"process_label": "", "labels": (APPARMOR,)}, "apparmor"),
        ({"process_label": "", "apparmor_profile": "containers-default-0.62.2"}, "apparmor"),
        ({"process_label": "", "apparmor_profile": "unconfined"}, "none"),
    ],
)
def test_the_lsm_is_that_of_the_labels(changed: dict[str, Any], lsm: str) -> None:
    assert host_of(replace(RECORD, **changed), HOST).lsm == lsm


def test_a_process_has_the_labels_of_its_host() -> None:
    record = ProcessRecord(7, "", "", "a", "/a", "", criu="4.2.1", selinux="permissive")
    assert process_host_of(record) == Host(criu="4.2.1", lsm="selinux")
    assert process_host_of(replace(record, selinux="disabled", profiles=("a (enforce)",))).lsm == "apparmor"
    assert process_host_of(replace(record, selinux="", profiles=("unconfined",))).lsm == "none"


def test_the_manifest_beside_an_archive_is_that_of_its_host(tmp_path: Path) -> None:
    record = replace(RECORD, criu="4.1")
    folder = store_checkpoint(tmp_path, manifest_of())
    assert origin_of(record, str(folder / "archive.tar.zst")) == replace(HOST, lsm_mode="")
    alone = Host(criu="4.1", engine="podman", lsm="selinux")
    assert origin_of(record, str(folder / "other.tar")) == origin_of(record, None) == alone
    assert origin_of(None, str(folder / "archive.tar.zst")) is None
    (folder / "manifest.json").write_text(json.dumps({"schema": 2}))
    assert origin_of(record, str(folder / "archive.tar.zst")) == alone
