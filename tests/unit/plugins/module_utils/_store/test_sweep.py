# SPDX-License-Identifier: GPL-3.0-or-later
"""The sweep of a store: copies that were cut off go, and nothing that may be the only copy does."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import lock
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import lock_path
from ansible_collections.criu.hosts.plugins.module_utils._store import sweep
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Host
from ansible_collections.criu.hosts.tests.unit.locks import held_by_another

ID = "20261130T164500Z-1a2b3c4d"
DAY = 24 * 60 * 60
COPIES = [f".part-{ID}", f".part-{ID}.pull"]
OTHERS = [".part-20261130T164500Z", f".part-{ID}.other", ID, f"x.part-{ID}"]


def left(store: Path, kind: str = "containers", name: str = "web") -> Path:
    folder = store / kind / name
    for one in (*COPIES, *OTHERS):
        (folder / one / "images").mkdir(parents=True)
        (folder / one / "images/core-1.img").write_text("x")
    for path in (store, *store.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder


def found(store: Path, now: float, kind: str | None = None, name: str | None = None) -> list[str]:
    return [path for dummy, paths in sweep.find_copies(str(store), kind, name, now) for path in paths]


def test_only_copies_that_nobody_has_touched_for_a_day(tmp_path: Path) -> None:
    folder, other = left(tmp_path), left(tmp_path, "processes", "worker")
    assert found(tmp_path, time.time() + DAY - 60) == []
    later = time.time() + DAY + 60
    assert found(tmp_path, later) == [str(one / name) for one in (folder, other) for name in COPIES]
    assert found(tmp_path, later, "process") == [str(other / name) for name in COPIES]
    assert found(tmp_path, later, "container", "worker") == []
    assert found(tmp_path / "none", later) == []


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    left(tmp_path / "elsewhere")
    (tmp_path / "store/containers").mkdir(parents=True)
    (tmp_path / "store/containers/web").symlink_to(tmp_path / "elsewhere/containers/web")
    assert found(tmp_path / "store", time.time() + DAY + 60) == []


def test_retention_removes_them_unless_a_task_works_there(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "KEEP_SECONDS", -1e12)
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0.1)
    folder, other = left(tmp_path / "store", name="db"), left(tmp_path / "store", "processes", "worker")
    for one in (folder, other):
        for path in sorted((one / ID).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (one / ID).rmdir()
    (other / ".part-new/images").mkdir(parents=True)
    (other / ".part-new/images/core-1.img").write_text("x")  # perhaps the only copy
    arguments = {"store": str(tmp_path / "store")}
    checked = module("checkpoint_retention", arguments, host=Host(), check=True)
    assert checked.result["changed"] is True, checked.result
    assert {path.name for path in folder.iterdir()} == {*COPIES, *OTHERS} - {ID}
    with held_by_another(lock_path(PLACE.paths, os.geteuid(), "store", str(other))):
        ran = module("checkpoint_retention", arguments, host=Host())
    assert ran.result["changed"] is True, ran.result
    assert {path.name for path in folder.iterdir()} == {*OTHERS} - {ID}
    assert {path.name for path in other.iterdir()} == {*COPIES, *OTHERS, ".part-new"} - {ID}
    ran = module("checkpoint_retention", arguments, host=Host())
    assert {path.name for path in other.iterdir()} == {*OTHERS, ".part-new"} - {ID}
    assert f"has left '{other}/.part-new'" in str(ran.result["warnings"])
