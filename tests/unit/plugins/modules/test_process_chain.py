# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains in a store: pre-dumps, and checkpoints that are built on them."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import lock
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import render_manifest
from ansible_collections.criu.hosts.tests.unit.harness import PLACE
from ansible_collections.criu.hosts.tests.unit.killed import Scene, each_kill, run_next
from ansible_collections.criu.hosts.tests.unit.locks import held_by_another
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_process_store import (
    all_of,
    check_whole,
    given,
    wanted,
)
from ansible_collections.criu.hosts.tests.unit.processes import PID, WORKING, ProcessWorld, process_world

TRACK = ("--track-mem",)
LIVE = ("--leave-running",)


def on(parent: str, *tail: str) -> tuple[str, ...]:
    return (*tail, *TRACK, "--prev-images-dir", f"../../{parent}/images")


def runs(folder: Path) -> ProcessWorld:
    made = process_world(folder)
    made.place = WORKING
    made.process()
    made.base.script(made.dump(pre=True, tail=TRACK))
    return made


def run(module: Any, made: ProcessWorld, *, check: bool = False, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = module(
        "process_checkpoint", given(made, **options), host=made.base.host, check=check
    ).result
    return result


def both(module: Any, made: ProcessWorld, **options: Any) -> dict[str, Any]:
    """Runs a task that check mode predicts, and which finds nothing to do when it is run again."""
    checked, ran = run(module, made, check=True, **options), run(module, made, **options)
    assert not ran.get("failed"), ran
    for key in ("changed", "commands", "diff", "warnings"):
        assert str(checked.get(key)) == str(ran.get(key)), key
    again = run(module, made, **options)
    assert (again["changed"], again["commands"]) == (False, []), again
    return ran


def pre_dumped(module: Any, folder: Path, count: int = 1) -> ProcessWorld:
    """A process that runs, with pre-dumps in the store, each built on the one before."""
    made = runs(folder)
    assert both(module, made, pre_dump=True)["changed"]
    for dummy in range(count - 1):
        last = all_of(made)[0].id
        made.base.script(made.dump(pre=True, tail=on(last)))
        options = {"parent": "latest"} if count == 2 else {"parent": last}
        assert both(module, made, pre_dump=True, **options)["changed"]
    return made


def dumped(module: Any, folder: Path, count: int = 1, *, live: bool = False, **options: Any) -> ProcessWorld:
    made = pre_dumped(module, folder, count)
    made.base.script(made.dump(tail=on(all_of(made)[0].id, *(LIVE if live else ()))))
    assert both(module, made, parent="latest", leave_running=live, **options)["changed"]
    return made


def restores(made: ProcessWorld, stored: Stored) -> None:
    made.place = f"{Path(stored.path).relative_to(made.folder)}/images"
    made.base.script(made.restores())


def restore(module: Any, made: ProcessWorld, *, check: bool = False, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = module("process_restore", wanted(made, **options), host=made.base.host, check=check).result
    return result


def restored(module: Any, made: ProcessWorld, **options: Any) -> dict[str, Any]:
    checked, ran = restore(module, made, check=True, **options), restore(module, made, **options)
    assert not ran.get("failed"), ran
    for key in ("changed", "commands", "diff", "warnings"):
        assert str(checked.get(key)) == str(ran.get(key)), key
    assert restore(module, made, **options)["changed"] is False
    return ran


def chain_of(stored: Stored) -> list[str]:
    return [one.id for one in (stored, *stored.parents)]


def test_a_dump_is_built_on_the_last_pre_dump(module: Any, tmp_path: Path) -> None:
    made = dumped(module, tmp_path, 2)
    dump, second, first = check_whole(made)
    assert chain_of(dump) == [dump.id, second.id, first.id] and first.manifest is not None
    assert [one.manifest.parent for one in (dump, second) if one.manifest] == [second.id, first.id]
    assert first.manifest.parent == "" and first.manifest.record["pre_dump"] is True
    for one, parent in ((dump, second), (second, first)):
        assert os.readlink(one.part("images/parent")) == f"../../{parent.id}/images"
        assert os.path.samefile(one.part("images/parent"), parent.part("images"))
    value = run(module, made, parent="latest")["checkpoint"]
    assert (value["parent"], value["parent_path"]) == (second.id, second.part("images"))
    assert not list(made.folder.rglob("tracked/*")), "the process has ended"


def test_check_mode_names_the_parent(module: Any, tmp_path: Path) -> None:
    made = pre_dumped(module, tmp_path)
    made.base.script(made.dump(tail=on(all_of(made)[0].id)))
    value = run(module, made, check=True, parent="latest")["checkpoint"]
    assert (value["parent"], value["parent_path"]) == (all_of(made)[0].id, all_of(made)[0].part("images"))
    assert value["checkpoint_id"] is None


def test_a_chain_is_restored_and_the_links_stay(module: Any, tmp_path: Path) -> None:
    made = dumped(module, tmp_path, 2)
    dump = all_of(made)[0]
    restores(made, dump)
    result = restored(module, made)
    assert (result["restore"]["checkpoint_id"], result["restore"]["pid"]) == (dump.id, PID)
    check_whole(made)


@pytest.mark.parametrize("how", ["elsewhere", "missing", "outside", "added"])
def test_a_link_in_a_checkpoint_counts_for_nothing(module: Any, tmp_path: Path, how: str) -> None:
    made = dumped(module, tmp_path, 2)
    dump, second, first = all_of(made)
    outside = tmp_path / "outside"
    shutil.copytree(first.part("images"), outside)
    link = Path((first if how == "added" else second).part("images/parent"))
    link.unlink(missing_ok=True)
    if how != "missing":
        link.symlink_to({"elsewhere": f"../../{dump.id}/images"}.get(how, str(outside)))
    restores(made, dump)
    assert restored(module, made)["changed"]
    assert os.readlink(second.part("images/parent")) == f"../../{first.id}/images"
    assert not os.path.lexists(first.part("images/parent"))


def test_a_link_is_corrected_before_a_dump_too(module: Any, tmp_path: Path) -> None:
    made = pre_dumped(module, tmp_path, 2)
    second, first = all_of(made)
    Path(second.part("images/parent")).unlink()
    made.base.script(made.dump(tail=on(second.id)))
    assert both(module, made, parent=second.id)["changed"]
    assert os.readlink(second.part("images/parent")) == f"../../{first.id}/images"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def elsewhere(images: Path) -> None:
    """Moves the images out of the checkpoint: a relative link in them would lead out of the store as well."""
    place = images.parents[4] / "moved/deep/images"
    place.parent.mkdir(parents=True)
    images.rename(place)
    images.symlink_to(place)


DAMAGE = {
    "missing": lambda one: shutil.rmtree(one.path),
    "manifest": lambda one: Path(one.path, "manifest.json").write_text("{"),
    "part-missing": lambda one: os.unlink(one.part("images/inventory.img")),
    "bytes": lambda one: flip(Path(one.part("images/inventory.img"))),
    "more": lambda one: shutil.copy(one.part("images/inventory.img"), one.part("images/pages-9.img")),
    "elsewhere": lambda one: elsewhere(Path(one.part("images"))),
    "folder": lambda one: shutil.copytree(one.part("images"), one.part("images/parent")),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("which", [1, 2], ids=["parent", "grandparent"])
def test_a_restore_refuses_a_chain_that_is_damaged(module: Any, tmp_path: Path, how: str, which: int) -> None:
    made = dumped(module, tmp_path, 2)
    found = all_of(made)
    if how == "folder" and which == 1:
        Path(found[1].part("images/parent")).unlink()
    DAMAGE[how](found[which])
    restores(made, found[0])
    before = made.content()
    for check in (True, False):
        for options in ({}, {"checkpoint": found[0].id}):
            failed = restore(module, made, check=check, **options)
            assert failed["reason"] == "checkpoint_damaged", failed
            assert found[which].id in failed["msg"] and "\n" not in failed["msg"]
    assert made.content() == before and made.base.host.wrote[-1][1] != "restore"


@pytest.mark.parametrize("how", DAMAGE)
def test_a_dump_is_not_built_on_a_chain_that_is_damaged(module: Any, tmp_path: Path, how: str) -> None:
    """CRIU would end the process, and no restore would bring it back."""
    made = pre_dumped(module, tmp_path, 2)
    second, first = all_of(made)
    DAMAGE[how](first)
    made.base.script(made.dump(tail=on(second.id)))
    before = made.content()
    for check in (True, False):
        for parent in ("latest", second.id):
            failed = run(module, made, check=check, parent=parent)
            assert failed["reason"] == "checkpoint_damaged" and first.id in failed["msg"], failed
    assert made.content() == before and (tmp_path / f"proc/{PID}").exists()


def test_a_damaged_pre_dump_stands_in_the_way_of_an_older_one(module: Any, tmp_path: Path) -> None:
    """Changes of memory are tracked since the newer one only."""
    made = pre_dumped(module, tmp_path, 2)
    second, first = all_of(made)
    os.unlink(second.part("manifest.json"))
    made.base.script(made.dump(tail=on(first.id)))
    assert run(module, made, parent="latest")["reason"] == "checkpoint_damaged"
    failed = run(module, made, parent=first.id)
    assert failed["reason"] == "parent_invalid" and "not tracked any more" in failed["msg"], failed


def test_a_parent_that_is_none(module: Any, tmp_path: Path) -> None:
    made = pre_dumped(module, tmp_path)
    made.base.script(made.dump(tail=LIVE), made.dump(tail=(*LIVE, *TRACK)))
    missing = "20200101T000000Z-00000000"
    failed = run(module, made, parent=missing)
    assert failed["reason"] == "checkpoint_missing" and missing in failed["msg"]
    assert run(module, made, leave_running=True)["changed"]
    plain = next(one for one in all_of(made) if one.manifest and not one.manifest.record["pre_dump"])
    failed = run(module, made, parent=plain.id)
    assert failed["reason"] == "parent_invalid" and "not a pre-dump" in failed["msg"]
    made.end()
    made.process(start=9000)
    failed = run(module, made, parent="latest")
    assert failed["reason"] == "parent_invalid" and "an earlier one with the same id" in failed["msg"]


def test_a_store_without_a_pre_dump(module: Any, tmp_path: Path) -> None:
    assert run(module, runs(tmp_path), parent="latest")["reason"] == "checkpoint_missing"


def test_a_pre_dump_is_never_restored(module: Any, tmp_path: Path) -> None:
    made = pre_dumped(module, tmp_path)
    made.end()
    failed = restore(module, made)
    assert failed["reason"] == "checkpoint_missing" and "only pre-dumps" in failed["msg"]
    assert restore(module, made, checkpoint=all_of(made)[0].id)["reason"] == "images_pre_dump"


def test_a_newer_pre_dump_is_not_the_latest_of_a_restore(module: Any, tmp_path: Path) -> None:
    made = dumped(module, tmp_path, live=True)
    whole = all_of(made)[0]
    made.base.script(made.dump(pre=True, tail=TRACK))
    assert run(module, made, pre_dump=True, when="always")["changed"]
    made.end()
    restores(made, whole)
    assert restored(module, made)["restore"]["checkpoint_id"] == whole.id


def test_a_chain_goes_on_while_the_process_runs(module: Any, tmp_path: Path) -> None:
    made = dumped(module, tmp_path, live=True)
    first = all_of(made)[0]
    assert run(module, made, pre_dump=True)["changed"] is False, "there is one of this process"
    made.base.script(made.dump(tail=on(first.id, *LIVE)))
    options = {"parent": "latest", "leave_running": True, "when": "always"}
    checked = run(module, made, check=True, **options)
    assert checked["commands"] == run(module, made, **options)["commands"] != []
    assert len(chain_of(all_of(made)[0])) == 3


def test_only_the_last_tracked_images_are_a_parent(module: Any, tmp_path: Path) -> None:
    made = pre_dumped(module, tmp_path, 2)
    second, first = all_of(made)
    made.base.script(made.dump(tail=on(first.id)))
    failed = run(module, made, parent=first.id)
    assert failed["reason"] == "parent_invalid" and "when: always" in failed["msg"]
    shutil.rmtree(second.path)
    assert run(module, made, parent="latest")["reason"] == "parent_invalid"


def test_a_failed_pre_dump_makes_the_ones_before_it_useless(module: Any, tmp_path: Path) -> None:
    made = pre_dumped(module, tmp_path)
    first = all_of(made)[0]
    works = made.base.host.replies
    made.base.host.replies = [made.dump(pre=True, tail=on(first.id), rc=1, effect=lambda: None), *works]
    assert run(module, made, pre_dump=True, parent="latest")["reason"] == "tool_failed"
    made.base.host.replies = [*works, made.dump(tail=on(first.id))]
    assert run(module, made, parent="latest")["reason"] == "parent_invalid"
    assert both(module, made, pre_dump=True)["changed"], "the old one is not current any more"
    last = all_of(made)[0]
    made.base.script(made.dump(tail=on(last.id)))
    assert both(module, made, parent="latest")["checkpoint"]["parent"] == last.id


def test_the_images_of_the_parents_are_held(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pre_dumped(module, tmp_path, 2)
    monkeypatch.setattr(lock, "HOLD_SECONDS", 0.0)
    for one in all_of(made):
        with held_by_another(lock.lock_path(PLACE.paths, 0, "images", one.part("images"))):
            assert run(module, made, parent="latest")["reason"] == "busy"


def test_images_of_the_parent_that_are_others(module: Any, tmp_path: Path) -> None:
    """The manifests of both are whole; the parent is not the one that the dump was made on."""
    made = dumped(module, tmp_path)
    dump, first = all_of(made)
    assert first.manifest is not None
    text = render_manifest(replace(first.manifest, record={**first.manifest.record, "inventory": "0" * 64}))
    Path(first.path, "manifest.json").write_text(text)
    found = next(one for one in all_of(made) if one.id == dump.id)
    assert "which does not have the images that it was made on" in found.fault


def test_a_killed_task_of_a_chain_is_completed_or_undone(module: Any, tmp_path: Path) -> None:
    """Whatever it leaves, the next dump is built on images since which changes are tracked, or is refused."""

    def start(folder: Path) -> Scene:
        made = pre_dumped(module, folder)
        parent = all_of(made)[0].id
        made.base.script(made.dump(tail=on(parent)))
        task = ("process_checkpoint", given(made, parent="latest"))
        return Scene(folder, made.base.host, task, task, made)

    found = set()
    for steps, scene in each_kill(module, tmp_path, start):
        made, parent = scene.made, all_of(scene.made)[-1]
        lived = (scene.folder / f"proc/{PID}").exists()
        lost = lived and [path.read_text() for path in scene.folder.rglob("tracked/*")] == [""]
        found.add((lived, lost))
        if lost:
            failed = module(*scene.next_task, host=scene.host).result
            assert failed["reason"] == "parent_invalid" and lived, steps
            made.base.script(made.dump(pre=True, tail=TRACK))
            assert both(module, made, pre_dump=True)["changed"], steps
            parent = all_of(made)[0]
            made.base.script(made.dump(tail=on(parent.id)))
        run_next(module, scene)
        dump = check_whole(made)[0]
        assert [one.id for one in dump.parents] == [parent.id], steps
        assert list(scene.folder.glob("store/processes/web/.part-*")) == [], steps
    assert found == {(True, False), (True, True), (False, False)}


def test_a_killed_restore_of_a_chain_is_completed(module: Any, tmp_path: Path) -> None:
    def start(folder: Path) -> Scene:
        made = process_world(folder)
        dump = made.put_dump(made.put_pre_dump())
        made.place = f"store/processes/web/{dump}/images"
        made.base.script(made.restores())
        return Scene(folder, made.base.host, ("process_restore", wanted(made)), ("process_restore", wanted(made)), made)

    steps = 0
    for steps, scene in each_kill(module, tmp_path, start):
        run_next(module, scene)
        assert len([argv for argv in scene.host.wrote if "restore" in argv]) == 1, steps
        assert len(check_whole(scene.made)) == 2
    assert steps > 8
