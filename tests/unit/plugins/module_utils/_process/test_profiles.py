# SPDX-License-Identifier: GPL-3.0-or-later
"""process_restore refuses images whose AppArmor profiles the kernel does not have."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.apparmor import apparmor_images, list_path, load, with_apparmor
from ansible_collections.criu.hosts.tests.unit.processes import ProcessWorld, process_world

PROFILE = "/usr/sbin/worker"


def dumped(monkeypatch: pytest.MonkeyPatch, folder: Path, saved: str = PROFILE) -> ProcessWorld:
    """The process is in its images, in the profile that CRIU has ``saved``, and the host was booted since."""
    made = process_world(folder, selinux="disabled")
    images = apparmor_images(monkeypatch, folder, saved)
    made.dumped(inventory=hashlib.sha256((images / "inventory.img").read_bytes()).hexdigest())
    with_apparmor(folder)
    return made


@pytest.mark.parametrize("check", [False, True])
def test_a_profile_that_is_not_loaded(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    made = dumped(monkeypatch, tmp_path)
    result = module("process_restore", {"images_path": str(made.images)}, host=made.base.host, check=check).result
    assert (result["reason"], result["profile"]) == ("apparmor_profile_missing", PROFILE)
    assert "apparmor_parser --replace FILE" in result["msg"]
    assert not made.base.host.wrote


@pytest.mark.parametrize("known", [False, True])
def test_one_that_is_loaded_or_cannot_be_seen_is_no_obstacle(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    made = dumped(monkeypatch, tmp_path)
    if known:
        load(tmp_path, PROFILE)
    else:
        list_path(tmp_path).unlink()
    run = module("process_restore", {"images_path": str(made.images)}, host=made.base.host, check=True)
    assert not run.failed, run.result


def test_one_of_a_policy_namespace_is_no_obstacle(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CRIU loads it from its images."""
    made = dumped(monkeypatch, tmp_path, ":box:worker")
    run = module("process_restore", {"images_path": str(made.images)}, host=made.base.host, check=True)
    assert not run.failed, run.result
