# SPDX-License-Identifier: GPL-3.0-or-later
"""What a killed task has left of a container that is gone since: checkpoint_retention ends it, and loses nothing."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import lock_path
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.harness import PLACE
from ansible_collections.criu.hosts.tests.unit.killed import Killed, give_markers_away, kill_after
from ansible_collections.criu.hosts.tests.unit.locks import held_by_another
from ansible_collections.criu.hosts.tests.unit.podman_host import (
    Box,
    PodmanHost,
    podman_host,
)


def killed_host(module: Any, folder: Path, steps: int, **options: Any) -> PodmanHost | None:
    """Returns a host on which a checkpoint has died after so many steps; None if it has fewer."""
    folder.mkdir()
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            module("container_checkpoint", {"name": "web", "store": str(folder / "store"), **options}, host=host)
    except Killed:
        give_markers_away(folder)
        return host
    return None


def retention(module: Any, host: PodmanHost, *, check: bool = False) -> dict[str, Any]:
    given = {"store": str(host.world.folder / "store")}
    result: dict[str, Any] = module("checkpoint_retention", given, host=host, check=check).result
    return result


def parts(host: PodmanHost) -> list[Path]:
    return list(host.world.folder.glob("store/*/*/.part-*"))


@pytest.mark.parametrize(("how", "every"), [("removed", 1), ("renamed", 4), ("replaced", 4)])
def test_the_rest_of_a_container_that_is_gone(module: Any, tmp_path: Path, how: str, every: int) -> None:
    found = set()
    for steps in itertools.count(1, every):
        host = killed_host(module, tmp_path / str(steps), steps)
        if host is None:
            break
        left, box = parts(host), host.boxes["web"]
        archives = [path for one in left for path in one.iterdir() if path.name.strip(".").startswith("archive.tar")]
        whole = any(path.stat().st_size for path in archives if path.suffix in (".partial", ".zst"))
        if how == "renamed":
            box.name = "other"
            host.boxes["other"] = host.boxes.pop("web")
        else:
            host.drop(box)
        if how == "replaced":
            host.run_box(Box("b" * 64, "web", created="2026-11-02T00:00:00Z"))
        known = len(list_stored(str(host.world.folder / "store")))
        predicted, done = retention(module, host, check=True), retention(module, host)
        assert predicted["changed"] == done["changed"] == bool(left), (steps, done)
        assert parts(host) == [] and ("which is gone" in str(done.get("warnings"))) == bool(left)
        stored = list_stored(str(host.world.folder / "store"))
        assert len(stored) == known + whole, steps
        for one in stored:
            assert one.fault == "" and one.manifest is not None and one.manifest.host.engine == "podman"
            assert all(file_sha256(one.part(part.name)) == part.sha256 for part in one.manifest.parts)
        assert not retention(module, host)["changed"]
        found.add((bool(left), whole))
    assert found == {(False, False), (True, False), (True, True)}


def test_the_rest_of_a_container_that_is_there_is_for_its_next_task(module: Any, tmp_path: Path) -> None:
    host = killed_host(module, tmp_path / "host", 9)
    assert host is not None
    left = parts(host)
    assert left and not retention(module, host)["changed"] and parts(host) == left


@pytest.mark.parametrize(("kind", "thing"), [("container", "web"), ("store", "{store}/containers/web")])
def test_what_a_running_task_holds_is_not_touched(module: Any, tmp_path: Path, kind: str, thing: str) -> None:
    host = killed_host(module, tmp_path / "host", 9)
    assert host is not None
    left = parts(host)
    host.drop(host.boxes["web"])
    path = lock_path(PLACE.paths, os.geteuid(), kind, thing.format(store=host.world.folder / "store"))
    with held_by_another(path):
        assert left and not retention(module, host)["changed"] and parts(host) == left
    assert retention(module, host)["changed"] and parts(host) == []
