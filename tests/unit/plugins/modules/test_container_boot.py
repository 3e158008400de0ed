# SPDX-License-Identifier: GPL-3.0-or-later
"""What the container modules say after a boot, when podman has forgotten its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, PodmanHost, podman_host


def booted(module: Any, folder: Path, **params: Any) -> PodmanHost:
    """Checkpoints a container and boots."""
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z"))
    assert module("container_checkpoint", {"name": "web", **params}, host=host).result["changed"]
    boot(host)
    return host


def boot(host: PodmanHost) -> None:
    box = host.boxes["web"]
    if box.status == "running":
        host.world.end(box.pid)
    box.status, box.pid, box.checkpointed, box.restored = "exited", 0, False, ""


@pytest.mark.parametrize("archive", [False, True])
def test_a_second_checkpoint_is_unchanged_and_the_state_stays(module: Any, tmp_path: Path, archive: bool) -> None:
    params = {"archive_path": str(tmp_path / "a/web.tar.gz"), "compression": "gzip"} if archive else {}
    host = booted(module, tmp_path, **params)
    for check in (True, False):
        assert not module("container_checkpoint", {"name": "web", **params}, host=host, check=check).result["changed"]
    failed = module("container_checkpoint", {"name": "web", "state": "absent"}, host=host).result
    assert failed["reason"] == "checkpoint_in_use"
    assert module("container_restore", {"name": "web"}, host=host).result["changed"]


def test_a_different_checkpoint_is_refused_with_advice_that_loses_nothing(module: Any, tmp_path: Path) -> None:
    host = booted(module, tmp_path)
    params = {"name": "web", "archive_path": str(tmp_path / "a/web.tar.gz")}
    failed = module("container_checkpoint", params, host=host).result
    assert failed["reason"] == "container_not_running" and "Restore it first." in failed["msg"]


def test_a_checkpoint_before_a_start_may_go(module: Any, tmp_path: Path) -> None:
    """leave_running: the container ran on, and its end is not in the checkpoint."""
    host = booted(module, tmp_path, leave_running=True)
    assert module("container_checkpoint", {"name": "web", "state": "absent"}, host=host).result["changed"]


def test_a_kept_checkpoint_is_not_the_last_state(module: Any, tmp_path: Path) -> None:
    host = booted(module, tmp_path)
    restored = module("container_restore", {"name": "web", "keep": True}, host=host)
    assert restored.result["changed"] and not [
        one for one in restored.result.get("warnings", []) if "ran on" in str(one)
    ]
    boot(host)
    again = module("container_restore", {"name": "web", "keep": True}, host=host)
    assert again.result["changed"] and [one for one in again.result.get("warnings", []) if "ran on" in str(one)]
    boot(host)
    assert module("container_checkpoint", {"name": "web", "state": "absent"}, host=host).result["changed"]
