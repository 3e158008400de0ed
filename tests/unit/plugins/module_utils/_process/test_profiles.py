# SPDX-License-Identifier: GPL-3.0-or-later
"""process_restore refuses images whose AppArmor profiles the kernel does not have."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.loaded_profiles import list_path, load, with_apparmor
from ansible_collections.criu.hosts.tests.unit.processes import LABEL, ProcessWorld, process_world

# As long as the recorded label, whose place it takes.
PROFILE = "/usr/sbin/worker".ljust(len(LABEL), "x")


def dumped(folder: Path) -> ProcessWorld:
    """The recorded images, made those of a host with AppArmor."""
    made = process_world(folder, selinux="disabled")
    made.dumped(record=False)
    for path in made.images.glob("core-*.img"):
        data = path.read_bytes()
        assert LABEL.encode() in data
        path.write_bytes(data.replace(LABEL.encode(), PROFILE.encode()))
    inventory = made.images / "inventory.img"
    data = inventory.read_bytes()
    assert data.count(b"\x30\x01") == 1, "field 6 (lsmtype) is 1 (SELinux)"
    inventory.write_bytes(data.replace(b"\x30\x01", b"\x30\x02"))
    digest = hashlib.sha256(inventory.read_bytes()).hexdigest()
    (made.images / RECORD).write_text(render_record(made.record(inventory=digest)))
    with_apparmor(folder)
    return made


@pytest.mark.parametrize("check", [False, True])
def test_a_profile_that_is_not_loaded(module: Any, tmp_path: Path, check: bool) -> None:
    made = dumped(tmp_path)
    result = module("process_restore", {"images_path": str(made.images)}, host=made.base.host, check=check).result
    assert (result["reason"], result["profile"]) == ("apparmor_profile_missing", PROFILE)
    assert "apparmor_parser --replace FILE" in result["msg"]
    assert not made.base.host.wrote


@pytest.mark.parametrize("known", [False, True])
def test_one_that_is_loaded_or_cannot_be_seen_is_no_obstacle(module: Any, tmp_path: Path, known: bool) -> None:
    made = dumped(tmp_path)
    if known:
        load(tmp_path, PROFILE)
    else:
        list_path(tmp_path).unlink()
    run = module("process_restore", {"images_path": str(made.images)}, host=made.base.host, check=True)
    assert not run.failed, run.result
