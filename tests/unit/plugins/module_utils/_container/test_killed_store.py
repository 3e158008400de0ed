# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills tasks that work with a store after each of their steps: there is a whole checkpoint or none after the next."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.podman_host import (
    Box,
    Killed,
    PodmanHost,
    give_markers_away,
    kill_after,
    left_over,
    podman_host,
)

Start = Callable[[Any, Path], PodmanHost]
LIVE = {"leave_running": True}
STORE = {"store": "here"}


def run(module: Any, host: PodmanHost, task: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    """Runs the task; the store ``here`` is in the host's folder."""
    given = {**options, **({"store": str(host.world.folder / "store")} if "store" in options else {})}
    result: dict[str, Any] = module(task, {"name": "web", **given}, host=host, check=check).result
    return result


def runs(module: Any, folder: Path, **known: Any) -> PodmanHost:
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z", **known))
    return host


def runs_with_rm(module: Any, folder: Path) -> PodmanHost:
    return runs(module, folder, auto_remove=True)


def runs_with_an_old_one(module: Any, folder: Path) -> PodmanHost:
    host = runs(module, folder)
    assert run(module, host, "container_checkpoint", **STORE, **LIVE)["changed"]
    host.boxes["web"].restored = "2026-11-28T09:00:00Z"
    return host


def export_fails(module: Any, folder: Path) -> PodmanHost:
    host = runs(module, folder)
    host.fails.add("export")
    return host


def stored(module: Any, folder: Path) -> PodmanHost:
    host = runs_with_rm(module, folder)
    assert run(module, host, "container_checkpoint", **STORE)["changed"]
    host.volumes = ("data",)
    return host


@dataclass(frozen=True)
class Walk:
    """A task that is killed, and the task that comes next."""

    start: Start
    task: str
    options: dict[str, Any]
    next_task: str
    next_options: dict[str, Any]


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


def killed(module: Any, host: PodmanHost, walk: Walk, steps: int) -> bool:
    """Lets the task die after so many steps; returns False if it has fewer."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            run(module, host, walk.task, **walk.options)
    except Killed:
        give_markers_away(host.world.folder)
        return True
    return False


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS.keys())
def test_the_next_task_completes_or_removes(module: Any, tmp_path: Path, walk: Walk) -> None:
    for steps in itertools.count(1):
        folder = tmp_path / str(steps)
        folder.mkdir()
        host = walk.start(module, folder)
        known = {one.id for one in list_stored(str(folder / "store"))}
        if not killed(module, host, walk, steps):
            break
        check_store(folder)
        host.fails.clear()
        gone = host.boxes.get("web") is None
        predicted = run(module, host, walk.next_task, check=True, **walk.next_options)
        result = run(module, host, walk.next_task, **walk.next_options)
        where = f"killed after step {steps}: {result}"
        assert not result.get("failed"), where
        assert not predicted.get("failed"), predicted
        for key in ("changed", "commands", "diff"):
            assert predicted[key] == result[key], where
        check_store(folder)
        now = {one.id for one in list_stored(str(folder / "store"))}
        assert now >= known and len(now - known) <= 1 + (walk.next_options.get("leave_running") is True), where
        assert not gone or now, where
        assert list(left_over(folder)) == [], where
        again = run(module, host, walk.next_task, **walk.next_options)
        assert again["changed"] is False, where
    assert steps > 5
