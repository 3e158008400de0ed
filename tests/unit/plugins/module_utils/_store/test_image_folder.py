# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of CRIU's images with our record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    check_parents,
    inventory_hash,
    read_images,
)
from ansible_collections.criu.hosts.tests.unit.processes import ProcessWorld, process_world
from ansible_collections.criu.hosts.tests.unit.unusable_files import UNUSABLE, USER

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def read(made: ProcessWorld) -> Images:
    images = read_images(str(made.images))
    assert images is not None
    return images


def refused(made: ProcessWorld) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_images(str(made.images))
    assert caught.value.reason == "images_invalid" and len(caught.value.message.splitlines()) == 1
    return caught.value.message


@pytest.mark.parametrize("damage", list(UNUSABLE))
def test_record_that_cannot_be_used_is_not_ignored(tmp_path: Path, damage: str) -> None:
    made = process_world(tmp_path)
    made.dumped(record=False)
    UNUSABLE[damage](made.images / RECORD)
    refused(made)


def test_images_without_a_record(tmp_path: Path) -> None:
    """As CRIU makes them by itself."""
    made = process_world(tmp_path)
    made.dumped(record=False)
    assert read(made).record is None


@pytest.mark.parametrize("damage", ["link", "link-loop", "folder", "fifo", "socket", "device", "sparse", "of-a-user"])
def test_inventory_that_is_none(tmp_path: Path, damage: str) -> None:
    made = process_world(tmp_path)
    made.dumped()
    (made.images / "inventory.img").unlink()
    UNUSABLE[damage](made.images / "inventory.img")
    refused(made)
    with pytest.raises(CheckpointError):
        inventory_hash(str(made.images))


@as_root
def test_images_of_a_user_in_a_folder_of_root(tmp_path: Path) -> None:
    """The user could change them between the look and the restore."""
    made = process_world(tmp_path)
    made.dumped()
    os.chown(made.images / "pstree.img", USER, USER)
    assert "'pstree.img'" in refused(made)


def test_images_that_others_can_write(tmp_path: Path) -> None:
    made = process_world(tmp_path)
    made.dumped()
    (made.images / "pstree.img").chmod(0o662)
    assert "'pstree.img'" in refused(made)


def test_images_elsewhere(tmp_path: Path) -> None:
    """A link leads out of the folder that was judged."""
    made = process_world(tmp_path)
    made.dumped()
    (made.images / "pstree.img").rename(tmp_path / "pstree.img")
    (made.images / "pstree.img").symlink_to(tmp_path / "pstree.img")
    assert "'pstree.img' is a symbolic link" in refused(made)


def based(made: ProcessWorld, parent: Path) -> Images:
    made.dumped(parent, pre=True)
    made.dumped(parent=str(parent), parent_inventory=inventory_hash(str(parent)))
    (made.images / "parent").symlink_to(parent)
    return read(made)


def test_parent_images(tmp_path: Path) -> None:
    made = process_world(tmp_path)
    check_parents(based(made, made.folder / "data/pre"))


@as_root
def test_parent_images_in_the_folder_of_a_user(tmp_path: Path) -> None:
    """Part of the memory comes from there."""
    made = process_world(tmp_path)
    home = made.folder / "home"
    home.mkdir()
    images = based(made, home / "pre")
    os.chown(home, USER, USER)
    with pytest.raises(CheckpointError) as caught:
        check_parents(images)
    assert caught.value.reason == "images_path_unsafe" and f"'{home}'" in caught.value.message


@pytest.mark.parametrize("damage", ["cut-off", "fifo", "writable-by-others", "of-a-user"])
def test_record_of_the_parent_images(tmp_path: Path, damage: str) -> None:
    made = process_world(tmp_path)
    images = based(made, made.folder / "data/pre")
    (made.folder / f"data/pre/{RECORD}").unlink()
    UNUSABLE[damage](made.folder / f"data/pre/{RECORD}")
    with pytest.raises(CheckpointError) as caught:
        check_parents(images)
    assert caught.value.reason == "images_invalid"
