# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills tasks on containers after each of their steps, and lets the next task find what they have left."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
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

ARCHIVE = "archives/web.tar.gz"
Start = Callable[[Path, Any], PodmanHost]


def params_of(host: PodmanHost, task: str, **options: Any) -> dict[str, Any]:
    """``options`` with archive=True name the archive of these tests."""
    path = (
        {"archive_path": str(host.world.folder / ARCHIVE), "compression": "gzip"} if options.pop("archive", 0) else {}
    )
    if task == "container_restore":
        path.pop("compression", None)
    return {"name": "web", **path, **options}


def run(module: Any, host: PodmanHost, task: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = module(task, params_of(host, task, **options), host=host, check=check).result
    return result


def runs(folder: Path, module: Any, **known: Any) -> PodmanHost:
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z", **known))
    return host


def runs_with_rm(folder: Path, module: Any) -> PodmanHost:
    return runs(folder, module, auto_remove=True)


def runs_with_an_old_archive(folder: Path, module: Any) -> PodmanHost:
    host = runs(folder, module)
    assert run(module, host, "container_checkpoint", archive=True, leave_running=True)["changed"]
    host.boxes["web"].restored = "2026-11-28T09:00:00Z"
    return host


def export_fails(folder: Path, module: Any) -> PodmanHost:
    host = runs(folder, module)
    host.fails.add("export")
    return host


def dumped(folder: Path, module: Any) -> PodmanHost:
    host = runs(folder, module)
    assert run(module, host, "container_checkpoint")["changed"]
    return host


def kept(folder: Path, module: Any) -> PodmanHost:
    host = dumped(folder, module)
    assert run(module, host, "container_restore", keep=True)["changed"]
    return host


def exported(folder: Path, module: Any) -> PodmanHost:
    host = runs_with_rm(folder, module)
    assert run(module, host, "container_checkpoint", archive=True)["changed"]
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


ARCHIVED: dict[str, Any] = {"archive": True}
WALKS = {
    "dump": Walk(runs, "container_checkpoint", {}, "container_checkpoint", {}),
    "dump-then-restore": Walk(runs, "container_checkpoint", {}, "container_restore", {}),
    "dump-over-a-kept-one": Walk(kept, "container_checkpoint", {}, "container_checkpoint", {}),
    "export": Walk(runs, "container_checkpoint", ARCHIVED, "container_checkpoint", ARCHIVED),
    "export-then-dump": Walk(runs, "container_checkpoint", ARCHIVED, "container_checkpoint", {}),
    "export-then-restore": Walk(runs, "container_checkpoint", ARCHIVED, "container_restore", {}),
    "export-with-rm": Walk(runs_with_rm, "container_checkpoint", ARCHIVED, "container_checkpoint", ARCHIVED),
    "export-over-old": Walk(runs_with_an_old_archive, "container_checkpoint", ARCHIVED, "container_restore", {}),
    "export-live": Walk(
        runs_with_an_old_archive,
        "container_checkpoint",
        {**ARCHIVED, "leave_running": True},
        "container_checkpoint",
        {**ARCHIVED, "leave_running": True},
    ),
    "export-fails": Walk(export_fails, "container_checkpoint", ARCHIVED, "container_checkpoint", ARCHIVED),
    "export-fails-then-restore": Walk(export_fails, "container_checkpoint", ARCHIVED, "container_restore", {}),
    "restore": Walk(dumped, "container_restore", {}, "container_restore", {}),
    "restore-then-dump": Walk(dumped, "container_restore", {}, "container_checkpoint", {}),
    "import": Walk(exported, "container_restore", ARCHIVED, "container_restore", ARCHIVED),
    "clone": Walk(
        exported,
        "container_restore",
        {**ARCHIVED, "new_name": "web2"},
        "container_restore",
        {**ARCHIVED, "new_name": "web2"},
    ),
    "absent": Walk(kept, "container_checkpoint", {"state": "absent"}, "container_checkpoint", {"state": "absent"}),
    "absent-then-dump": Walk(kept, "container_checkpoint", {"state": "absent"}, "container_checkpoint", {}),
}


def has_state(host: PodmanHost) -> bool:
    """Returns whether the container runs, is stopped in a recorded checkpoint, or is in a recorded archive."""
    archive = host.world.folder / ARCHIVE
    records = [host.world.folder / f"var/lib/criu-hosts/checkpoints/{ID}.json", Path(f"{archive}.json")]
    known = [json.loads(path.read_text()) if path.exists() else {} for path in records]
    box = host.boxes.get("web")
    if any(one.status == "running" for one in host.boxes.values()):
        return True
    if box is not None:
        stamp = (host.folder(box) / "checkpoint/inventory.img").stat().st_mtime_ns
        return known[0]["stamp"] == str(stamp) and len(known[0]["labels"]) == 4
    return known[1]["sha256"] == file_sha256(str(archive)) and len(known[1]["labels"]) == 4


def killed(module: Any, host: PodmanHost, walk: Walk, steps: int) -> bool:
    """Lets the task die after so many steps; returns False if it has fewer."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            run(module, host, walk.task, **dict(walk.options))
    except Killed:
        give_markers_away(host.world.folder)
        return True
    return False


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS.keys())
def test_the_next_task_completes_or_undoes(module: Any, tmp_path: Path, walk: Walk) -> None:
    for steps in itertools.count(1):
        folder = tmp_path / str(steps)
        folder.mkdir()
        host = walk.start(folder, module)
        if not killed(module, host, walk, steps):
            break
        host.fails.clear()
        predicted = run(module, host, walk.next_task, check=True, **dict(walk.next_options))
        result = run(module, host, walk.next_task, **dict(walk.next_options))
        where = f"killed after step {steps}: {result}"
        assert not result.get("failed"), where
        assert not predicted.get("failed"), predicted
        for key in ("changed", "commands", "diff"):
            assert predicted[key] == result[key], where
        assert has_state(host), where
        assert sum(box.status == "running" for box in host.boxes.values()) <= 1, where
        assert list(left_over(folder)) == [], where
        again = run(module, host, walk.next_task, **dict(walk.next_options))
        assert again["changed"] is False, where
    assert steps > 5
