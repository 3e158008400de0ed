# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills pre-checkpoints, and checkpoints that are made on them, after each of their steps; the same tasks come next.

The simulated podman refuses a dump that would lack memory, and a restore without all archives that it needs.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.killed import Killed, give_markers_away, kill_after
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, PodmanHost, left_over, podman_host

PRE: dict[str, Any] = {"pre_checkpoint": True}
WITH: dict[str, Any] = {"with_previous": True}
LIVE: dict[str, Any] = {**WITH, "leave_running": True}
CHECKPOINT, RESTORE = "container_checkpoint", "container_restore"


def run(module: Any, host: PodmanHost, task: str, place: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    folder = host.world.folder
    given = {"store": str(folder / "store")} if place == "store" else {}
    if place == "archive":
        given = {"archive_path": str(folder / f"archives/{'pre' if options.get('pre_checkpoint') else 'web'}.tar.zst")}
    result: dict[str, Any] = module(task, {"name": "web", **given, **options}, host=host, check=check).result
    return result


def both(module: Any, host: PodmanHost, task: str, place: str, **options: Any) -> dict[str, Any]:
    """Runs a task in check mode and for real, which have to agree and to succeed."""
    predicted = run(module, host, task, place, check=True, **options)
    result = run(module, host, task, place, **options)
    assert not result.get("failed") and not predicted.get("failed"), (predicted, result)
    for key in ("changed", "commands", "diff"):
        assert predicted[key] == result[key], key
    return result


def killed(module: Any, host: PodmanHost, steps: int, task: str, place: str, **options: Any) -> bool:
    """Lets the task die after so many steps; returns False if it has fewer."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            run(module, host, task, place, **options)
    except Killed:
        give_markers_away(host.world.folder)
        return True
    return False


def start(module: Any, folder: Path, place: str, *before: dict[str, Any]) -> PodmanHost:
    folder.mkdir()
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z"))
    for options in before:
        assert run(module, host, CHECKPOINT, place, **options)["changed"]
    return host


@pytest.mark.parametrize(
    ("victim", "last", "place"),
    [
        *(("pre", WITH, place) for place in ("place", "archive", "store")),
        *(("with", WITH, place) for place in ("place", "archive", "store")),
        ("with", LIVE, "store"),
    ],
)
def test_the_same_two_tasks_come_next(
    module: Any, tmp_path: Path, victim: str, last: dict[str, Any], place: str
) -> None:
    for steps in itertools.count(1):
        folder = tmp_path / str(steps)
        host = start(module, folder, place, *([PRE] if victim == "with" else []))
        if not killed(module, host, steps, CHECKPOINT, place, **(PRE if victim == "pre" else last)):
            break
        for options in (PRE, last):
            both(module, host, CHECKPOINT, place, **options)
            assert list(left_over(folder)) == []
        for options in (PRE, last):
            assert both(module, host, CHECKPOINT, place, **options)["changed"] is False
        assert all(one.fault == "" for one in list_stored(str(folder / "store")))
        if place != "place":
            host.drop(host.boxes["web"])
        elif last is LIVE:
            continue
        assert both(module, host, RESTORE, place)["changed"] and host.boxes["web"].status == "running"
    assert steps > 5


@pytest.mark.parametrize("place", ["place", "archive", "store"])
def test_a_restore_comes_after_a_restore(module: Any, tmp_path: Path, place: str) -> None:
    for steps in itertools.count(1):
        folder = tmp_path / str(steps)
        host = start(module, folder, place, PRE, WITH)
        if place != "place":
            host.drop(host.boxes["web"])
        if not killed(module, host, steps, RESTORE, place):
            break
        both(module, host, RESTORE, place)
        assert host.boxes["web"].status == "running" and list(left_over(folder)) == []
        assert both(module, host, RESTORE, place)["changed"] is False
        assert not (host.folder(host.boxes["web"]) / "pre-checkpoint").exists()
    assert steps > 5
