# SPDX-License-Identifier: GPL-3.0-or-later
"""A store lists and finds its checkpoints, and a damaged one is listed with its fault."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store import folder
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import ID, Manifest, render_manifest
from ansible_collections.criu.hosts.tests.unit.stored import manifest_of, part_of, process_manifest, store_checkpoint

OLD, NEW = "20261130T164500Z-1a2b3c4d", "20261130T164501Z-00000000"
matches_id = folder.re.compile(ID).fullmatch


def ids(found: list[folder.Stored]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.name, one.id) for one in found]


def test_names_sort_by_time() -> None:
    early, late = folder.new_id(1796057100.9, b"\xff" * 16), folder.new_id(1796057101, b"\0" * 4)
    assert early == "20261130T164500Z-ffffffff" and late == "20261130T164501Z-00000000"
    assert early < late and matches_id(early) and matches_id(late)


def test_the_next_name_sorts_after_all_others(tmp_path: Path) -> None:
    assert folder.next_id(str(tmp_path), "container", "web", 1796057100, b"\xff" * 4) == "20261130T164500Z-ffffffff"
    store_checkpoint(tmp_path, manifest_of(OLD))
    for now in (1796057100, 1796057000):
        assert folder.next_id(str(tmp_path), "container", "web", now, b"\0" * 4) == "20261130T164501Z-00000000"
    assert folder.next_id(str(tmp_path), "container", "app", 1796057100, b"\0" * 4) == "20261130T164500Z-00000000"
    for last in ("99991231T235959Z-00000000", "99999999T999999Z-00000000"):
        (tmp_path / "containers/web" / last).mkdir()
        assert folder.next_id(str(tmp_path), "container", "web", 1796057100, b"\0" * 4) == "20261130T164500Z-00000000"


def test_paths() -> None:
    assert folder.stored_path("/s", "container", "web", OLD) == f"/s/containers/web/{OLD}"
    assert folder.part_path("/s", "process", "worker", OLD) == f"/s/processes/worker/.part-{OLD}"


def test_lists_newest_first(tmp_path: Path) -> None:
    for manifest in (manifest_of(OLD), manifest_of(NEW), manifest_of(NEW, "app"), process_manifest(OLD)):
        store_checkpoint(tmp_path, manifest)
    store = str(tmp_path)
    found = folder.list_stored(store)
    assert ids(found) == [
        ("container", "web", NEW),
        ("container", "app", NEW),
        ("process", "worker", OLD),
        ("container", "web", OLD),
    ]
    assert [one.fault for one in found] == [""] * 4
    assert ids(folder.list_stored(store, "container", "web")) == [("container", "web", NEW), ("container", "web", OLD)]
    assert ids(folder.list_stored(store, "process")) == [("process", "worker", OLD)]
    assert found[0].manifest == manifest_of(NEW) and found[0].part("a") == f"{store}/containers/web/{NEW}/a"


def test_lists_only_checkpoints(tmp_path: Path) -> None:
    assert folder.list_stored(str(tmp_path / "none")) == []
    whole = store_checkpoint(tmp_path, manifest_of(OLD))
    shutil.copytree(whole, whole.parent / f".part-{NEW}")
    (whole.parent / "notes.txt").write_text("")
    (tmp_path / "containers" / ".hidden").mkdir()
    (tmp_path / "other").mkdir()
    assert ids(folder.list_stored(str(tmp_path))) == [("container", "web", OLD)]
    assert folder.list_stored(str(tmp_path), "container", "../containers/web") == []


def test_pinned_and_signed(tmp_path: Path) -> None:
    path = store_checkpoint(tmp_path, manifest_of(OLD))
    before = folder.find_stored(str(tmp_path), "container", "web", OLD)
    (path / "pinned").touch()
    (path / "manifest.json.sig").touch()
    after = folder.find_stored(str(tmp_path), "container", "web", OLD)
    assert (before.pinned, before.signed, after.pinned, after.signed) == (False, False, True, True)


def _link_part(path: Path) -> None:
    (path / "archive.tar.zst").rename(path / "elsewhere")
    (path / "archive.tar.zst").symlink_to("elsewhere")


def _rewrite(path: Path, **changed: object) -> None:
    (path / "manifest.json").write_text(render_manifest(replace(manifest_of(NEW), **changed)))


def _link_folder(path: Path) -> None:
    path.rename(path.parent / "moved")
    path.symlink_to("moved")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda path: (path / "manifest.json").unlink(), "it has no manifest.json"),
    "torn manifest": (lambda path: (path / "manifest.json").write_text('{"sch'), "its manifest.json cannot be used"),
    "manifest of others": (lambda path: (path / "manifest.json").chmod(0o622), "users other than its owner"),
    "part of others": (lambda path: (path / "archive.tar.zst").chmod(0o622), "not a file that only root"),
    "part missing": (lambda path: (path / "archive.tar.zst").unlink(), "its part 'archive.tar.zst' is missing"),
    "part cut off": (lambda path: (path / "archive.tar.zst").write_bytes(b"a"), "has 1 bytes and its manifest.json"),
    "part is a link": (_link_part, "not a file that only root may write to"),
    "of another container": (lambda path: _rewrite(path, name="app"), f"is of the container checkpoint app/{NEW}"),
    "of another time": (lambda path: _rewrite(path, id=OLD), f"is of the container checkpoint web/{OLD}"),
    "part elsewhere": (lambda path: _rewrite(path, parts=(part_of("../a"),)), "its field 'name' is not what"),
    "folder of others": (lambda path: path.chmod(0o777), "users other than root may write to it"),
    "a link": (_link_folder, "it is not a folder"),
    "a file": (lambda path: (shutil.rmtree(path), path.write_text("")), "it is not a folder"),
}


@pytest.mark.parametrize("case", list(DAMAGE))
def test_a_damaged_one_is_listed_and_not_used(tmp_path: Path, case: str) -> None:
    damage, why = DAMAGE[case]
    store_checkpoint(tmp_path, manifest_of(OLD))
    damage(store_checkpoint(tmp_path, manifest_of(NEW)))
    newest = folder.list_stored(str(tmp_path))[0]
    assert newest.id == NEW and why in newest.fault
    assert folder.find_stored(str(tmp_path), "container", "web", "latest").id == OLD
    with pytest.raises(CheckpointError, match="Use another checkpoint") as caught:
        folder.find_stored(str(tmp_path), "container", "web", NEW)
    assert caught.value.reason == "checkpoint_damaged" and newest.fault in caught.value.message


OLDEST = "20261130T164400Z-1a2b3c4d"


def with_pre_dump(identity: str) -> Manifest:
    known = manifest_of(identity)
    return replace(known, record={**known.record, "pre_dump": True})


def test_latest_is_no_pre_checkpoint(tmp_path: Path) -> None:
    store_checkpoint(tmp_path, manifest_of(OLD))
    store_checkpoint(tmp_path, with_pre_dump(NEW))
    store = str(tmp_path)
    assert folder.find_stored(store, "container", "web", "latest").id == OLD
    assert folder.find_stored(store, "container", "web", NEW).pre_dump is True
    newest = folder.newest_whole(store, "container", "web")
    assert newest is not None and newest.id == OLD and newest.pre_dump is False
    shutil.rmtree(newest.path)
    with pytest.raises(CheckpointError) as caught:
        folder.find_stored(store, "container", "web", "latest")
    assert caught.value.reason == "checkpoint_missing" and folder.newest_whole(store, "container", "web") is None


@pytest.mark.parametrize("case", ["gone", "damaged"])
def test_a_fault_of_a_parent_is_one_of_all_that_are_made_on_it(tmp_path: Path, case: str) -> None:
    first = store_checkpoint(tmp_path, with_pre_dump(OLDEST))
    store_checkpoint(tmp_path, manifest_of(OLD, parent=OLDEST))
    store_checkpoint(tmp_path, manifest_of(NEW, parent=OLD))
    assert [one.fault for one in folder.list_stored(str(tmp_path))] == [""] * 3
    if case == "gone":
        shutil.rmtree(first)
    else:
        (first / "archive.tar.zst").write_bytes(b"")
    found = folder.list_stored(str(tmp_path))
    assert all(OLDEST in one.fault for one in found[:2]) and len(found) == (2 if case == "gone" else 3)
    with pytest.raises(CheckpointError) as caught:
        folder.find_stored(str(tmp_path), "container", "web", "latest")
    assert caught.value.reason == "checkpoint_damaged"


def test_parents_in_a_circle(tmp_path: Path) -> None:
    """Nobody makes such ones, but anybody may write a manifest: they are listed, and nothing goes on for ever."""
    store_checkpoint(tmp_path, manifest_of(OLD, parent=NEW))
    store_checkpoint(tmp_path, manifest_of(NEW, parent=OLD))
    assert ids(folder.list_stored(str(tmp_path))) == [("container", "web", NEW), ("container", "web", OLD)]


def test_only_damaged_ones(tmp_path: Path) -> None:
    (store_checkpoint(tmp_path, manifest_of(OLD)) / "manifest.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        folder.find_stored(str(tmp_path), "container", "web", "latest")
    assert caught.value.reason == "checkpoint_damaged"


@pytest.mark.parametrize("wanted", ["latest", NEW, "../web", ".", ""])
def test_missing(tmp_path: Path, wanted: str) -> None:
    store_checkpoint(tmp_path, manifest_of(OLD, "app"))
    (tmp_path / "containers" / "web").mkdir()
    with pytest.raises(CheckpointError, match="container 'web'") as caught:
        folder.find_stored(str(tmp_path), "container", "web", wanted)
    assert caught.value.reason == "checkpoint_missing"


def test_a_store_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_checkpoint(tmp_path, manifest_of(OLD))

    def refuse(path: str) -> list[str]:
        raise PermissionError(13, os.strerror(13), path)

    monkeypatch.setattr(folder.os, "listdir", refuse)
    with pytest.raises(CheckpointError, match="Permission denied") as caught:
        folder.list_stored(str(tmp_path))
    assert caught.value.reason == "store_unreadable"


IDS = ("20261130T164500Z-00000001", "20261130T164501Z-00000002", "20261130T164502Z-00000003")


def chain(store: Path) -> list[Path]:
    """Stores three checkpoints of a process, each built on the one before; returns their folders, the oldest first."""
    parents = ("", *IDS[:2])
    return [store_checkpoint(store, process_manifest(one, parent=parent)) for one, parent in zip(IDS, parents)]


def faults(store: Path) -> list[str]:
    return [one.fault for one in folder.list_stored(str(store))]


def test_a_chain(tmp_path: Path) -> None:
    chain(tmp_path)
    newest, middle, oldest = folder.list_stored(str(tmp_path))
    assert newest.fault == "" and newest.parents == (middle, oldest)
    assert middle.parents == (oldest,) and oldest.parents == ()


def test_what_is_built_on_a_damaged_one_has_its_fault(tmp_path: Path) -> None:
    oldest = chain(tmp_path)[0]
    (oldest / "images/core-7.img").unlink()
    why = f"it is built on the checkpoint {IDS[0]!r}, which cannot be used: its part 'images/core-7.img' is missing"
    assert faults(tmp_path) == [why, why, "its part 'images/core-7.img' is missing"]
    shutil.rmtree(oldest)
    why = f"it is built on the checkpoint {IDS[0]!r}, which is missing"
    assert faults(tmp_path) == [why, why]


@pytest.mark.parametrize("parent", [IDS[0], IDS[1]], ids=["itself", "a-newer-one"])
def test_a_chain_never_leads_in_a_circle(tmp_path: Path, parent: str) -> None:
    chain(tmp_path)
    store_checkpoint(tmp_path, process_manifest(IDS[0], parent=parent))
    why = f"it is built on the checkpoint {parent!r}, which is not older"
    assert faults(tmp_path) == [why] * 3


def test_the_parent_is_the_one_that_it_was_made_on(tmp_path: Path) -> None:
    chain(tmp_path)
    other = process_manifest(IDS[0])
    store_checkpoint(tmp_path, replace(other, record={**other.record, "inventory": "a" * 64}))
    why = f"it is built on the checkpoint {IDS[0]!r}, which does not have the images that it was made on"
    assert faults(tmp_path) == [why, why, ""]


def test_a_parent_is_of_the_same_name(tmp_path: Path) -> None:
    store_checkpoint(tmp_path, process_manifest(IDS[0], "other"))
    store_checkpoint(tmp_path, process_manifest(IDS[1], parent=IDS[0]))
    assert faults(tmp_path) == [f"it is built on the checkpoint {IDS[0]!r}, which is missing", ""]
