# SPDX-License-Identifier: GPL-3.0-or-later
"""What a killed task has left of a process in a store: checkpoint_retention ends it, and loses nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import apply
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import lock_path
from ansible_collections.criu.hosts.tests.unit.harness import PLACE
from ansible_collections.criu.hosts.tests.unit.killed import Killed, Scene, each_kill, run_next
from ansible_collections.criu.hosts.tests.unit.locks import held_by_another
from ansible_collections.criu.hosts.tests.unit.plugins.module_utils._process.test_killed import lives, works
from ansible_collections.criu.hosts.tests.unit.plugins.module_utils._process.test_killed_store import (
    cut_off,
    nothing_left,
)
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_process_chain import on, pre_dumped
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_process_store import (
    all_of,
    check_whole,
    given,
    running,
)
from ansible_collections.criu.hosts.tests.unit.processes import RELOAD, ProcessWorld

PART = "store/processes/web/.part-new"


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is lost here, and it takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda dummy_descriptor: None)


def retention(made: ProcessWorld, **options: Any) -> dict[str, Any]:
    return {"store": str(made.folder / "store"), **options}


@pytest.mark.parametrize("tail", [(), ("--leave-running",)], ids=["ends", "leave-running"])
def test_the_rest_is_put_in_place_or_removed(module: Any, tmp_path: Path, tail: tuple[str, ...]) -> None:
    def start(folder: Path) -> Scene:
        made = running(folder, tail)
        task = ("process_checkpoint", given(made, leave_running=bool(tail)))
        return Scene(folder, made.base.host, task, ("checkpoint_retention", retention(made)), made)

    found = set()
    for steps, scene in each_kill(module, tmp_path, start):
        made, left, known = scene.made, (scene.folder / PART).exists(), len(all_of(scene.made))
        lived, whole = lives(scene.folder), (scene.folder / PART / "images/criu-hosts.json").exists()
        result = run_next(module, scene)
        assert result["changed"] is left and bool(result.get("warnings")) is left, steps
        stored = check_whole(made)
        kept = left and (whole or not lived)
        assert len(stored) == known + kept, steps
        assert lived or stored, "the process is not lost"
        if (scene.folder / "store/processes/web").exists():
            nothing_left(made)
        found.add((lived, left, kept))
    assert {(True, True, False), (True, False, False)} < found
    assert bool(tail) or (False, True, True) in found


def test_the_drop_in_of_a_killed_task_is_removed_with_its_note(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    cgroup = tmp_path / "sys/fs/cgroup/system.slice/web.service"
    cgroup.mkdir(parents=True)
    made.base.script(made.unit(active=True, state="before"), made.unit(active=False, state="after"))
    real = apply.apply_step

    def step(runner: Any, one: Any, applied: Any) -> None:
        if getattr(one, "argv", ("",))[0] == made.criu:
            raise Killed
        real(runner, one, applied)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "apply_step", step)
        with pytest.raises(Killed):
            module("process_checkpoint", {"unit": "web", "store": str(tmp_path / "store")}, host=made.base.host)
    drop_in = tmp_path / "run/systemd/system/web.service.d"
    assert drop_in.exists()
    scene = Scene(tmp_path, made.base.host, ("", {}), ("checkpoint_retention", retention(made)))
    assert run_next(module, scene)["commands"] == [RELOAD]
    assert not drop_in.exists() and not (tmp_path / PART).exists()


@pytest.mark.parametrize(("kind", "thing"), [("store", "store/processes/web"), ("images", f"{PART}/images")])
def test_what_a_running_task_holds_is_not_touched(module: Any, tmp_path: Path, kind: str, thing: str) -> None:
    """CRIU holds the locks of a killed task to its end."""
    made = cut_off(module, tmp_path)
    before = made.content()
    with held_by_another(lock_path(PLACE.paths, os.geteuid(), kind, str(tmp_path / thing))):
        ran = module("checkpoint_retention", retention(made), host=made.base.host).result
        assert not ran.get("failed") and ran["changed"] is False, ran
    assert made.content() == before
    assert module("checkpoint_retention", retention(made), host=made.base.host).result["changed"]
    assert len(check_whole(made)) == 1


def test_images_on_which_criu_still_works_stay(module: Any, tmp_path: Path) -> None:
    made = cut_off(module, tmp_path)
    works(tmp_path, str(tmp_path / PART / ".images.partial"), "dump")
    stays(module, made, "CRIU (process 777) still does so")


def stays(module: Any, made: ProcessWorld, words: str) -> None:
    before = made.content()
    for check in (True, False):
        ran = module("checkpoint_retention", retention(made, max_age="1s"), host=made.base.host, check=check).result
        assert not ran.get("failed") and ran["changed"] is False, ran
        assert words in str(ran["warnings"]) and str(made.folder / PART) in str(ran["warnings"])
    assert made.content() == before


def test_damaged_images_that_may_be_the_only_copy_stay(module: Any, tmp_path: Path) -> None:
    made = cut_off(module, tmp_path)
    (tmp_path / PART / ".images.partial/core-1465.img").write_bytes(b"")
    stays(module, made, "may hold the only copy of the process")


def test_images_without_a_record_stay(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    made.images.parent.mkdir(parents=True, mode=0o700)
    made.dumped(made.images, record=False)
    stays(module, made, "may be the only copy of a process")


def test_a_process_that_was_brought_back_is_for_a_task_that_can_prove_it(module: Any, tmp_path: Path) -> None:
    """The dump had failed at its end, and the task was killed before it compared the labels."""
    made = cut_off(module, tmp_path)
    partial = tmp_path / PART / ".images.partial"
    pid_file = tmp_path / "run/criu-hosts/restore/web.pid"
    pid_file.parent.mkdir(parents=True)
    pid_file.write_text(f"{made.record().pid}\n")
    made.process(start=9000)
    note = partial.parent / "..images.partial.criu/begun.json"
    note.parent.mkdir(mode=0o700)
    facts = {"inventory": made.record().inventory, "pid_file": str(pid_file), "ticks": "1"}
    begun = {"action": "restoring", "thing": str(partial), "boot": made.record().boot, "began": "now", "facts": facts}
    note.write_text(json.dumps(begun))
    note.chmod(0o600)
    stays(module, made, "The next process_checkpoint or process_restore")


def test_a_pre_dump_stays_on_which_an_unfinished_dump_is_built(module: Any, tmp_path: Path) -> None:
    """The process is only in these two: nothing may remove the one below."""
    made = pre_dumped(module, tmp_path)
    [parent] = all_of(made)
    made.base.script(made.dump(tail=on(parent.id)))
    real = apply.apply_step

    def step(runner: Any, one: Any, applied: Any) -> None:
        if one.why == "write the manifest":
            raise Killed
        real(runner, one, applied)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "apply_step", step)
        with pytest.raises(Killed):
            module("process_checkpoint", given(made, parent="latest"), host=made.base.host)
    assert not lives(tmp_path)
    scene = Scene(tmp_path, made.base.host, ("", {}), ("checkpoint_retention", retention(made, max_bytes=1)))
    assert run_next(module, scene)["changed"]
    dump, below = check_whole(made)
    assert [one.id for one in dump.parents] == [below.id] == [parent.id]


def test_a_killed_pre_dump_is_removed(module: Any, tmp_path: Path) -> None:
    made = pre_dumped(module, tmp_path)
    [parent] = all_of(made)
    made.base.script(made.dump(pre=True, tail=on(parent.id)))
    real = apply.apply_step

    def step(runner: Any, one: Any, applied: Any) -> None:
        real(runner, one, applied)
        if getattr(one, "argv", ("", ""))[1:2] == ("pre-dump",):
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "apply_step", step)
        with pytest.raises(Killed):
            module("process_checkpoint", given(made, pre_dump=True, parent="latest"), host=made.base.host)
    scene = Scene(tmp_path, made.base.host, ("", {}), ("checkpoint_retention", retention(made)))
    assert run_next(module, scene)["changed"]
    assert check_whole(made) == [parent]
