# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills tasks that work with a process in a store before each step: the next one leaves a whole checkpoint or none."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import apply
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import parse_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.working import read_draft
from ansible_collections.criu.hosts.tests.unit.plugins.module_utils._process.test_killed import (
    Killed,
    kill_before,
    lives,
)
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


def killed(module: Any, name: str, arguments: dict[str, Any], made: ProcessWorld, number: int) -> bool:
    """Kills the task before the step with this number; returns False if it has fewer."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            kill_before(patch, number)
            module(name, arguments, host=made.base.host)
    except Killed:
        for marker in made.folder.glob("run/criu-hosts/borrowed/*"):
            marker.rename(marker.with_name("unconfined_dyntrans_all.999999.1"))
        return True
    return False


def nothing_left(made: ProcessWorld) -> None:
    """Neither an unfinished checkpoint, nor a note of what has begun, nor the boolean."""
    hidden = [path.name for path in (made.folder / "store/processes/web").iterdir() if path.name.startswith(".")]
    assert hidden == []
    assert list(made.folder.rglob("*begun.json")) == []
    boolean = made.folder / "sys/fs/selinux/booleans/unconfined_dyntrans_all"
    assert boolean.read_text() == "0 0"


def each_folder(tmp_path: Path) -> Any:
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        yield number, folder


@pytest.mark.parametrize("tail", [(), ("--leave-running",)], ids=["ends", "leave-running"])
def test_the_next_checkpoint_completes_or_removes(module: Any, tmp_path: Path, tail: tuple[str, ...]) -> None:
    for number, folder in each_folder(tmp_path):
        made = running(folder, tail)
        arguments = given(made, leave_running=bool(tail))
        if not killed(module, "process_checkpoint", arguments, made, number):
            break
        check_whole(made)
        lived = lives(folder)
        assert lived or list(made.folder.glob("store/processes/web/**/pstree.img"))
        checked = module("process_checkpoint", arguments, host=made.base.host, check=True)
        ran = module("process_checkpoint", arguments, host=made.base.host)
        assert not ran.failed, (number, ran.result)
        for key in ("changed", "commands", "diff"):
            assert checked.result[key] == ran.result[key], number
        [stored] = check_whole(made)
        assert ran.result["checkpoint"]["checkpoint_id"] == stored.id
        assert stored.manifest is not None and stored.manifest.host.criu == "4.2.1", "the draft was kept"
        nothing_left(made)
        dumps = [argv for argv in made.base.host.wrote if "dump" in argv]
        assert len(dumps) == 1 or lived, number
        again = module("process_checkpoint", arguments, host=made.base.host)
        assert (again.result["changed"], again.result["commands"]) == (False, []), number
    assert number > 10


def coming(made: ProcessWorld) -> str:
    """Returns the id of the checkpoint that a killed task has left, in its place or not."""
    draft = read_draft(str(made.folder / WORKING.rpartition("/")[0]))
    return draft.id if draft is not None else all_of(made)[0].id


def test_a_restore_completes_the_checkpoint_first(module: Any, tmp_path: Path) -> None:
    gone = 0
    for number, folder in each_folder(tmp_path):
        made = running(folder)
        if not killed(module, "process_checkpoint", given(made), made, number):
            break
        if lives(folder):
            continue
        gone += 1
        identity = coming(made)
        path = folder / "store/processes/web" / identity
        restorable(made, Stored(str(path), "process", "web", identity, None))
        checked = module("process_restore", wanted(made), host=made.base.host, check=True)
        ran = module("process_restore", wanted(made), host=made.base.host)
        assert not ran.failed, (number, ran.result)
        for key in ("changed", "commands", "diff"):
            assert checked.result[key] == ran.result[key], number
        assert ran.result["restore"]["checkpoint_id"] == checked.result["restore"]["checkpoint_id"] == identity
        assert lives(folder)
        assert [one.id for one in check_whole(made)] == [identity]
        nothing_left(made)
        again = module("process_restore", wanted(made), host=made.base.host)
        assert again.result["changed"] is False, number
    assert gone > 5


def test_a_killed_restore_is_completed(module: Any, tmp_path: Path) -> None:
    for number, folder in each_folder(tmp_path):
        made, stored = dumped(module, folder)
        restorable(made, stored)
        if not killed(module, "process_restore", wanted(made), made, number):
            break
        checked = module("process_restore", wanted(made), host=made.base.host, check=True)
        ran = module("process_restore", wanted(made), host=made.base.host)
        assert not ran.failed, (number, ran.result)
        assert checked.result["commands"] == ran.result["commands"], number
        assert lives(folder)
        assert len([argv for argv in made.base.host.wrote if "restore" in argv]) == 1, number
        check_whole(made)
        nothing_left(made)
    assert number > 8


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
