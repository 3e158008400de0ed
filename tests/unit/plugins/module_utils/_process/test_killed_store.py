# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills tasks that work with a process in a store before each step: the next one leaves a whole checkpoint or none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import apply
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import parse_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.working import read_draft
from ansible_collections.criu.hosts.tests.unit.killed import Killed, Scene, Task, each_kill, run_next
from ansible_collections.criu.hosts.tests.unit.plugins.module_utils._process.test_killed import lives
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_process_store import (
    WORKING,
    all_of,
    check_whole,
    dumped,
    given,
    restorable,
    running,
    wanted,
)
from ansible_collections.criu.hosts.tests.unit.processes import PID, ProcessWorld


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is lost here, and it takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda dummy_descriptor: None)


def nothing_left(made: ProcessWorld) -> None:
    """Neither an unfinished checkpoint, nor a note of what has begun, nor the boolean."""
    hidden = [path.name for path in (made.folder / "store/processes/web").iterdir() if path.name.startswith(".")]
    assert hidden == []
    assert list(made.folder.rglob("*begun.json")) == []
    boolean = made.folder / "sys/fs/selinux/booleans/unconfined_dyntrans_all"
    assert boolean.read_text() == "0 0"


def scene_of(made: ProcessWorld, task: Task, next_task: Task | None = None) -> Scene:
    return Scene(made.folder, made.base.host, task, next_task or task, made)


@pytest.mark.parametrize("tail", [(), ("--leave-running",)], ids=["ends", "leave-running"])
def test_the_next_checkpoint_completes_or_removes(module: Any, tmp_path: Path, tail: tuple[str, ...]) -> None:
    def start(folder: Path) -> Scene:
        made = running(folder, tail)
        return scene_of(made, ("process_checkpoint", given(made, leave_running=bool(tail))))

    steps = 0
    for steps, scene in each_kill(module, tmp_path, start):
        made = scene.made
        check_whole(made)
        lived = lives(scene.folder)
        assert lived or list(made.folder.glob("store/processes/web/**/pstree.img"))
        result = run_next(module, scene)
        [stored] = check_whole(made)
        assert result["checkpoint"]["checkpoint_id"] == stored.id
        assert stored.manifest is not None and stored.manifest.host.criu == "4.2.1", "the draft was kept"
        nothing_left(made)
        dumps = [argv for argv in made.base.host.wrote if "dump" in argv]
        assert len(dumps) == 1 or lived, steps
    assert steps > 10


def coming(made: ProcessWorld) -> str:
    """Returns the id of the checkpoint that a killed task has left, in its place or not."""
    draft = read_draft(str(made.folder / WORKING.rpartition("/")[0]))
    return draft.id if draft is not None else all_of(made)[0].id


def test_a_restore_completes_the_checkpoint_first(module: Any, tmp_path: Path) -> None:
    def start(folder: Path) -> Scene:
        made = running(folder)
        return scene_of(made, ("process_checkpoint", given(made)), ("process_restore", wanted(made)))

    gone = 0
    for steps, scene in each_kill(module, tmp_path, start):
        if lives(scene.folder):
            continue
        gone += 1
        made = scene.made
        identity = coming(made)
        path = scene.folder / "store/processes/web" / identity
        restorable(made, Stored(str(path), "process", "web", identity, None))
        result = run_next(module, scene)
        assert result["restore"]["checkpoint_id"] == identity, steps
        assert lives(scene.folder)
        assert [one.id for one in check_whole(made)] == [identity]
        nothing_left(made)
    assert gone > 5


def test_a_killed_restore_is_completed(module: Any, tmp_path: Path) -> None:
    def start(folder: Path) -> Scene:
        made, stored = dumped(module, folder)
        restorable(made, stored)
        return scene_of(made, ("process_restore", wanted(made)))

    steps = 0
    for steps, scene in each_kill(module, tmp_path, start):
        run_next(module, scene)
        made = scene.made
        assert lives(scene.folder)
        assert len([argv for argv in made.base.host.wrote if "restore" in argv]) == 1, steps
        check_whole(made)
        nothing_left(made)
    assert steps > 8


def cut_off(module: Any, folder: Path) -> ProcessWorld:
    """The task is killed when CRIU has ended the process and the images have no record yet."""
    made = running(folder)
    with pytest.MonkeyPatch.context() as patch:
        real = apply.apply_step

        def step(runner: Any, one: Any, applied: Any) -> None:
            if getattr(one, "path", "").endswith(".partial/criu-hosts.json"):
                raise Killed
            real(runner, one, applied)

        patch.setattr(apply, "apply_step", step)
        with pytest.raises(Killed):
            module("process_checkpoint", given(made), host=made.base.host)
    assert not lives(folder)
    return made


def test_damaged_images_that_may_be_the_only_copy_stay(module: Any, tmp_path: Path) -> None:
    made = cut_off(module, tmp_path)
    partial = tmp_path / "store/processes/web/.part-new/.images.partial"
    (partial / "core-1465.img").write_bytes(b"")
    before = sorted(path.name for path in partial.iterdir())
    made.process(start=9000)
    for check in (True, False):
        ran = module("process_checkpoint", given(made), host=made.base.host, check=check)
        assert (ran.result["reason"], ran.result["path"]) == ("images_partial", str(partial))
    assert sorted(path.name for path in partial.iterdir()) == before


def test_images_without_a_record_that_may_be_the_only_copy_stay(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    made.images.parent.mkdir(parents=True, mode=0o700)
    made.dumped(made.images, record=False)
    for name in ("process_checkpoint", "process_restore"):
        arguments = given(made) if name == "process_checkpoint" else wanted(made)
        ran = module(name, arguments, host=made.base.host)
        assert (ran.result["reason"], ran.result["path"]) == ("images_partial", str(made.images))
    assert (made.images / "pstree.img").exists()


def test_without_a_draft_the_checkpoint_is_completed_all_the_same(module: Any, tmp_path: Path) -> None:
    made = cut_off(module, tmp_path)
    (tmp_path / "store/processes/web/.part-new/.manifest.json.partial").write_text("{")
    ran = module("process_checkpoint", given(made), host=made.base.host)
    assert not ran.failed, ran.result
    assert "This task has put it in place as" in str(ran.result["warnings"])
    [stored] = check_whole(made)
    manifest = parse_manifest(Path(stored.path, "manifest.json").read_bytes())
    assert (manifest.host.criu, manifest.record["pid"]) == ("", PID)


def test_a_dump_that_fails_leaves_its_log_and_the_next_task_removes_it(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    failing = made.dump(tail=(), rc=1, effect=lambda: (made.work / "dump.log").write_text("Error (criu/x.c:1): no\n"))
    works = made.base.host.replies
    made.base.host.replies = [failing, *works]
    ran = module("process_checkpoint", given(made), host=made.base.host)
    assert ran.failed and ran.result["process_state"] == "running", ran.result
    assert Path(ran.result["log_path"]).read_text().startswith("Error")
    assert all_of(made) == []
    made.base.host.replies = works
    again = module("process_checkpoint", given(made), host=made.base.host)
    assert not again.failed, again.result
    assert len(check_whole(made)) == 1
    nothing_left(made)
