# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints of a process in a store: process_checkpoint makes them and process_restore takes them."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored, list_stored
from ansible_collections.criu.hosts.tests.unit.harness import Host
from ansible_collections.criu.hosts.tests.unit.processes import PID, WORKING, ProcessWorld, process_world

Built = tuple[dict[str, Any], Host]


def given(made: ProcessWorld, **changes: Any) -> dict[str, Any]:
    return {"pid": PID, "store": str(made.folder / "store"), "name": "web", **changes}


def running(folder: Path, *dumps: tuple[str, ...]) -> ProcessWorld:
    """A process runs, which CRIU dumps into the store: once for each tail of its options."""
    made = process_world(folder)
    made.place = WORKING
    made.process()
    made.base.script(*(made.dump(tail=tail) for tail in dumps or ((),)))
    return made


def all_of(made: ProcessWorld) -> list[Stored]:
    return list_stored(str(made.folder / "store"))


def check_whole(made: ProcessWorld) -> list[Stored]:
    """Each checkpoint in the store is whole, down to its digests and links. Returns them, the newest first."""
    found = all_of(made)
    for one in found:
        assert one.fault == "" and one.manifest is not None and one.name == "web"
        known = {part.name: part.sha256 for part in one.manifest.parts}
        every = list(Path(one.path, "images").iterdir())
        assert known == {f"images/{path.name}": file_sha256(str(path)) for path in every if not path.is_symlink()}
        links = {path.name: os.readlink(path) for path in every if path.is_symlink()}
        parent = one.manifest.parent
        assert links == ({"parent": f"../../{parent}/images"} if parent else {})
        assert not set(os.listdir(one.path)) - {"images", "manifest.json", "manifest.json.sig", ".images.criu"}
    return found


def restorable(made: ProcessWorld, stored: Stored, *, leave: bool = False) -> None:
    """CRIU can restore this checkpoint, after the process has ended."""
    made.place = f"{Path(stored.path).relative_to(made.folder)}/images"
    made.base.script(made.restores())
    if leave:
        made.end()


def test_a_checkpoint_is_whole_private_and_says_where_it_is(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    (tmp_path / "proc/sys/kernel/hostname").write_text("apple\n")
    checked = module("process_checkpoint", given(made, why="before the update"), host=made.base.host, check=True)
    ran = module("process_checkpoint", given(made, why="before the update"), host=made.base.host)
    assert not ran.failed, ran.result
    for key in ("changed", "commands", "diff"):
        assert checked.result[key] == ran.result[key]
    [stored] = check_whole(made)
    manifest = stored.manifest
    assert manifest is not None
    assert (manifest.kind, manifest.why, manifest.parent) == ("process", "before the update", "")
    assert (manifest.host.hostname, manifest.host.criu, manifest.host.lsm) == ("apple", "4.2.1", "selinux")
    assert manifest.record["pid"] == PID and len(manifest.record["inventory"]) == 64
    assert manifest.options == {
        "leave_running": False,
        "shell_job": False,
        "tcp_established": False,
        "file_locks": False,
    }
    value = ran.result["checkpoint"]
    assert (value["checkpoint_id"], value["images_path"]) == (stored.id, f"{stored.path}/images")
    assert value["record_path"] == f"{stored.path}/images/criu-hosts.json"
    assert value["size_bytes"] == manifest.size_bytes
    assert ran.result["statistics"]["written_pages"] > 0
    assert [checked.result["checkpoint"][key] for key in ("checkpoint_id", "images_path", "record_path")] == [None] * 3
    for where, folders, names in os.walk(made.folder / "store"):
        for name in (*folders, *names):
            mode = stat.S_IMODE(os.stat(os.path.join(where, name)).st_mode)
            assert mode & 0o077 == 0 or ".images.criu" in where or name == ".images.criu", (where, name, oct(mode))
    again = module("process_checkpoint", given(made), host=made.base.host)
    assert (again.result["changed"], again.result["commands"]) == (False, [])
    assert again.result["checkpoint"]["checkpoint_id"] == stored.id


def test_the_name_of_the_service_is_enough(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    cgroup = tmp_path / "sys/fs/cgroup/system.slice/web.service"
    cgroup.mkdir(parents=True)
    (cgroup / "cgroup.procs").write_text(f"{PID}\n")
    made.base.script(made.unit(active=True, state="before"), made.unit(active=False, state="after"))
    ran = module("process_checkpoint", {"unit": "web.service", "store": str(tmp_path / "store")}, host=made.base.host)
    assert not ran.failed, ran.result
    assert [one.name for one in check_whole(made)] == ["web"]


def test_an_old_one_stays_beside_the_new_one(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path, ("--leave-running",), ("--leave-running",))
    live = given(made, leave_running=True)
    first = module("process_checkpoint", live, host=made.base.host)
    assert module("process_checkpoint", live, host=made.base.host).result["changed"] is False
    young = module("process_checkpoint", {**live, "max_age": "1h"}, host=made.base.host)
    assert young.result["changed"] is False
    checked = module("process_checkpoint", {**live, "when": "always"}, host=made.base.host, check=True)
    second = module("process_checkpoint", {**live, "when": "always"}, host=made.base.host)
    assert not second.failed, second.result
    assert checked.result["commands"] == second.result["commands"] != []
    assert checked.result["diff"] == second.result["diff"]
    ids = [one.result["checkpoint"]["checkpoint_id"] for one in (second, first)]
    assert [one.id for one in check_whole(made)] == ids


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"parent": "last"}, "parent"),
        ({"parent": "../20261130T164500Z-1a2b3c4d"}, "parent"),
        ({"parent_path": "/data/web.1"}, "parent_path"),
        ({"name": "../web"}, "name"),
        ({"name": None}, "name"),
        ({"why": "two\nlines"}, "why"),
        ({"state": "absent"}, "store"),
        ({"max_age": "soon"}, "max_age"),
    ],
)
def test_an_option_that_does_not_fit(module: Any, tmp_path: Path, changes: dict[str, Any], option: str) -> None:
    made = running(tmp_path)
    arguments = {key: value for key, value in given(made, **changes).items() if value is not None}
    before = made.content()
    ran = module("process_checkpoint", arguments, host=made.base.host)
    assert (ran.result["reason"], ran.result["option"]) == ("option_invalid", option)
    assert made.content() == before


def test_a_store_that_others_can_change(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o777)
    assert module("process_checkpoint", given(made), host=made.base.host).result["reason"] == "store_unsafe"


def dumped(module: Any, folder: Path, *, leave: bool = False) -> tuple[ProcessWorld, Stored]:
    made = running(folder, ("--leave-running",) if leave else ())
    ran = module("process_checkpoint", given(made, leave_running=leave), host=made.base.host)
    assert not ran.failed, ran.result
    return made, all_of(made)[0]


def wanted(made: ProcessWorld, **changes: Any) -> dict[str, Any]:
    return {"store": str(made.folder / "store"), "name": "web", **changes}


@pytest.mark.parametrize("by_id", [False, True], ids=["latest", "id"])
def test_a_restore_takes_the_wanted_one(module: Any, tmp_path: Path, by_id: bool) -> None:
    made, stored = dumped(module, tmp_path)
    restorable(made, stored)
    arguments = wanted(made, **({"checkpoint": stored.id} if by_id else {}))
    checked = module("process_restore", arguments, host=made.base.host, check=True)
    ran = module("process_restore", arguments, host=made.base.host)
    assert not ran.failed, ran.result
    for key in ("changed", "commands", "diff"):
        assert checked.result[key] == ran.result[key]
    assert (ran.result["restore"]["checkpoint_id"], ran.result["restore"]["pid"]) == (stored.id, PID)
    assert ran.result["restore"]["images_path"] == f"{stored.path}/images"
    again = module("process_restore", arguments, host=made.base.host)
    assert (again.result["changed"], again.result["commands"]) == (False, [])
    check_whole(made)


def test_the_next_checkpoint_of_a_restored_process_is_a_new_one(module: Any, tmp_path: Path) -> None:
    made, stored = dumped(module, tmp_path)
    restorable(made, stored)
    assert module("process_restore", wanted(made), host=made.base.host).result["changed"] is True
    made.place = WORKING
    ran = module("process_checkpoint", given(made), host=made.base.host)
    assert not ran.failed, ran.result
    assert [one.id for one in check_whole(made)] == [ran.result["checkpoint"]["checkpoint_id"], stored.id]


def test_a_restore_refuses_what_the_store_has_not(module: Any, tmp_path: Path) -> None:
    made, dummy_stored = dumped(module, tmp_path)
    for changes in ({"name": "other"}, {"checkpoint": "20200101T000000Z-00000000"}, {"checkpoint": "../web"}):
        ran = module("process_restore", wanted(made, **changes), host=made.base.host)
        assert ran.result["reason"] == "checkpoint_missing", ran.result


@pytest.mark.parametrize("how", ["changed", "more", "missing"])
def test_a_restore_refuses_images_that_are_not_those_of_the_manifest(module: Any, tmp_path: Path, how: str) -> None:
    made, stored = dumped(module, tmp_path)
    image = Path(stored.path, "images/core-1467.img")
    if how == "changed":
        data = bytearray(image.read_bytes())
        data[-1] ^= 1
        image.write_bytes(data)
    elif how == "more":
        shutil.copy(image, image.with_name("core-1468.img"))
    else:
        image.unlink()
    for check in (True, False):
        ran = module("process_restore", wanted(made), host=made.base.host, check=check)
        assert ran.result["reason"] == "checkpoint_damaged", ran.result
        assert ("core-1468" if how == "more" else "core-1467") in ran.result["msg"]


def test_images_path_and_store_exclude_each_other(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path)
    both = given(made, images_path=str(tmp_path / "data/web"))
    neither = {"pid": PID}
    for arguments in (both, neither):
        assert module("process_checkpoint", arguments, host=made.base.host).failed


@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_a_damaged_one_that_is_passed_over_is_a_warning(module: Any, tmp_path: Path, check: bool) -> None:
    made = running(tmp_path, ("--leave-running",), ("--leave-running",))
    live = given(made, leave_running=True)
    for dummy in range(2):
        assert module("process_checkpoint", {**live, "when": "always"}, host=made.base.host).result["changed"]
    bad, old = all_of(made)
    Path(bad.path, "images/core-1467.img").unlink()
    words = f"The checkpoint {bad.path!r} cannot be used: its part 'images/core-1467.img' is missing."
    ran = module("process_checkpoint", live, host=made.base.host, check=check).result
    assert (ran["changed"], ran["checkpoint"]["checkpoint_id"]) == (False, old.id)
    assert [words in str(one) for one in ran["warnings"]] == [True]
    made.end()
    restorable(made, old)
    back = module("process_restore", wanted(made), host=made.base.host, check=check).result
    assert back["restore"]["checkpoint_id"] == old.id and words in str(back["warnings"])
    assert words not in str(module("process_restore", wanted(made, checkpoint=old.id), host=made.base.host).result)


def test_one_that_is_alone_and_damaged_does_not_block_a_new_one(module: Any, tmp_path: Path) -> None:
    made = running(tmp_path, ("--leave-running",))
    live = given(made, leave_running=True)
    assert module("process_checkpoint", live, host=made.base.host).result["changed"]
    [bad] = all_of(made)
    Path(bad.path, "manifest.json").write_text("{")
    checked = module("process_checkpoint", live, host=made.base.host, check=True).result
    ran = module("process_checkpoint", live, host=made.base.host).result
    assert ran["changed"] and checked["commands"] == ran["commands"]
    assert bad.path in str(ran["warnings"]) and str(checked["warnings"]) == str(ran["warnings"])
    assert [one.id == bad.id for one in all_of(made)] == [False, True]
