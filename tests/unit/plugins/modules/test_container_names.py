# SPDX-License-Identifier: GPL-3.0-or-later
"""The container modules: a foreign container whose id begins with the name, ids as names, renamed containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, PodmanHost, podman_host

OLD = "2026-11-01T00:00:00Z"


def running(folder: Path, **known: Any) -> PodmanHost:
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created=OLD, **known))
    return host


def archive(folder: Path, name: str = ID) -> dict[str, Any]:
    return {"name": name, "archive_path": str(folder / "archives/web.tar.gz")}


def listed(folder: Path, name: str) -> None:
    """Writes the list in which podman's storage keeps the names of containers."""
    path = folder / "var/lib/containers/storage/overlay-containers/containers.json"
    path.write_text(json.dumps([{"id": ID, "names": [name]}]))


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("task", ["container_checkpoint", "container_restore"])
def test_a_foreign_container_is_left_alone(module: Any, tmp_path: Path, task: str, check: bool) -> None:
    host = running(tmp_path)
    failed = module(task, {"name": ID[:3]}, host=host, check=check)
    assert failed.result["reason"] == "container_missing"
    assert host.boxes["web"].status == "running" and not host.wrote


def test_a_foreign_checkpoint_is_not_removed(module: Any, tmp_path: Path) -> None:
    host = running(tmp_path)
    module("container_checkpoint", {"name": "web", "leave_running": True}, host=host)
    assert not module("container_checkpoint", {"name": ID[:12], "state": "absent"}, host=host).result["changed"]
    assert (host.folder(host.boxes["web"]) / "checkpoint/inventory.img").exists()


def test_a_full_id_does_for_a_whole_cycle(module: Any, tmp_path: Path) -> None:
    host, params = running(tmp_path), {**archive(tmp_path), "compression": "gzip"}
    first = module("container_checkpoint", params, host=host).result
    assert first["changed"] and first["checkpoint"]["name"] == "web"
    assert not module("container_checkpoint", params, host=host).result["changed"]
    restored = module("container_restore", archive(tmp_path), host=host).result
    assert restored["changed"] and restored["restore"]["name"] == "web"
    assert not module("container_restore", archive(tmp_path), host=host).result["changed"]
    absent = {**archive(tmp_path), "state": "absent"}
    assert module("container_checkpoint", absent, host=host).result["changed"]
    assert not module("container_checkpoint", absent, host=host).result["changed"]


def test_a_full_id_finds_a_container_that_is_only_in_its_archive(module: Any, tmp_path: Path) -> None:
    host, params = running(tmp_path, auto_remove=True), {**archive(tmp_path), "compression": "gzip"}
    assert module("container_checkpoint", params, host=host).result["changed"]
    assert not host.boxes
    assert not module("container_checkpoint", params, host=host).result["changed"]
    assert module("container_restore", archive(tmp_path), host=host).result["restore"]["id"] == ID
    assert host.boxes["web"].status == "running"


def test_a_full_id_does_in_place(module: Any, tmp_path: Path) -> None:
    host = running(tmp_path)
    assert module("container_checkpoint", {"name": ID}, host=host).result["changed"]
    assert not module("container_checkpoint", {"name": ID}, host=host).result["changed"]
    failed = module("container_checkpoint", {"name": ID, "state": "absent"}, host=host).result
    assert failed["reason"] == "checkpoint_in_use"
    assert module("container_restore", {"name": ID}, host=host).result["changed"]


@pytest.mark.parametrize("check", [False, True])
def test_the_holder_of_an_archives_id_is_named(module: Any, tmp_path: Path, check: bool) -> None:
    host = running(tmp_path)
    params = {**archive(tmp_path, "web"), "compression": "gzip"}
    assert module("container_checkpoint", params, host=host).result["changed"]
    box = host.boxes.pop("web")
    box.name = "renamed"
    host.boxes["renamed"] = box
    listed(tmp_path, "renamed")
    failed = module("container_restore", archive(tmp_path, "web"), host=host, check=check).result
    assert failed["reason"] == "container_exists" and "'renamed'" in failed["msg"]
