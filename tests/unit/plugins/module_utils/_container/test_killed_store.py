# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills tasks that work with a store after each of their steps: there is a whole checkpoint or none after the next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.killed import Scene, each_kill, run_next
from ansible_collections.criu.hosts.tests.unit.plugins.module_utils._container.test_killed import Walk
from ansible_collections.criu.hosts.tests.unit.podman_host import (
    Box,
    PodmanHost,
    left_over,
    podman_host,
)

LIVE = {"leave_running": True}
STORE = {"store": "here"}


def params_of(host: PodmanHost, **options: Any) -> dict[str, Any]:
    """Returns the parameters of a task; the store ``here`` is in the host's folder."""
    place = {"store": str(host.world.folder / "store")} if "store" in options else {}
    return {"name": "web", **options, **place}


def run(module: Any, host: PodmanHost, task: str, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = module(task, params_of(host, **options), host=host).result
    return result


def runs(folder: Path, module: Any, **known: Any) -> PodmanHost:
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z", **known))
    return host


def runs_with_rm(folder: Path, module: Any) -> PodmanHost:
    return runs(folder, module, auto_remove=True)


def runs_with_an_old_one(folder: Path, module: Any) -> PodmanHost:
    host = runs(folder, module)
    assert run(module, host, "container_checkpoint", **STORE, **LIVE)["changed"]
    host.boxes["web"].restored = "2026-11-28T09:00:00Z"
    return host


def export_fails(folder: Path, module: Any) -> PodmanHost:
    host = runs(folder, module)
    host.fails.add("export")
    return host


def stored(folder: Path, module: Any) -> PodmanHost:
    host = runs_with_rm(folder, module)
    assert run(module, host, "container_checkpoint", **STORE)["changed"]
    host.volumes = ("data",)
    return host


WALKS = {
    "store": Walk(runs, "container_checkpoint", STORE, "container_checkpoint", STORE),
    "store-with-rm": Walk(runs_with_rm, "container_checkpoint", STORE, "container_checkpoint", STORE),
    "store-live": Walk(
        runs_with_an_old_one,
        "container_checkpoint",
        {**STORE, **LIVE, "max_age": "1h"},
        "container_checkpoint",
        {**STORE, **LIVE, "max_age": "1h"},
    ),
    "store-live-then-gzip": Walk(
        runs,
        "container_checkpoint",
        {**STORE, **LIVE},
        "container_checkpoint",
        {**STORE, **LIVE, "compression": "gzip"},
    ),
    "store-then-dump": Walk(runs, "container_checkpoint", STORE, "container_checkpoint", {}),
    "store-then-restore": Walk(runs_with_an_old_one, "container_checkpoint", STORE, "container_restore", STORE),
    "store-then-restore-in-place": Walk(runs, "container_checkpoint", STORE, "container_restore", {}),
    "store-fails": Walk(export_fails, "container_checkpoint", STORE, "container_checkpoint", STORE),
    "restore": Walk(stored, "container_restore", STORE, "container_restore", STORE),
}


def check_store(folder: Path) -> None:
    """Each checkpoint in the store is whole, down to its digests."""
    for one in list_stored(str(folder / "store")):
        assert one.fault == "" and one.manifest is not None
        assert one.manifest.host.engine == "podman", "a task that completes it keeps what is known of the host"
        for part in one.manifest.parts:
            assert file_sha256(one.part(part.name)) == part.sha256
        names = {part.name for part in one.manifest.parts} | {"manifest.json"}
        assert {path.name for path in Path(one.path).iterdir()} == names


def scene_of(module: Any, walk: Walk, folder: Path) -> Scene:
    host = walk.start(folder, module)
    tasks = ((walk.task, walk.options), (walk.next_task, walk.next_options))
    return Scene(folder, host, *((name, params_of(host, **options)) for name, options in tasks))


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS.keys())
def test_the_next_task_completes_or_removes(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walk: Walk
) -> None:
    monkeypatch.setattr(os, "fsync", lambda dummy_descriptor: None)  # no power is lost here, and it takes most time
    steps, known = 0, set()

    def start(folder: Path) -> Scene:
        scene = scene_of(module, walk, folder)
        known.clear()
        known.update(one.id for one in list_stored(str(folder / "store")))
        return scene

    for steps, scene in each_kill(module, tmp_path, start):
        check_store(scene.folder)
        scene.host.fails.clear()
        gone = scene.host.boxes.get("web") is None
        result = run_next(module, scene)
        where = f"killed after step {steps}: {result}"
        check_store(scene.folder)
        now = {one.id for one in list_stored(str(scene.folder / "store"))}
        assert now >= known and len(now - known) <= 1 + (walk.next_options.get("leave_running") is True), where
        assert not gone or now, where
        assert list(left_over(scene.folder)) == [], where
    assert steps > 5
