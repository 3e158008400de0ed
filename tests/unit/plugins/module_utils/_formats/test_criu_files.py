# SPDX-License-Identifier: GPL-3.0-or-later
"""The files and ports in images, from images that CRIU 4.2.1 made of a program with both.

It had a file open for reading and writing, one for appending, a deleted one, a device, a file of /proc and a folder,
and listened on 127.0.0.1 port 8123 and on ::1 port 8124.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_files import (
    Listener,
    SavedFile,
    read_contained_files,
    read_listeners,
    read_saved_files,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError

IMAGES = Path(__file__).parents[3] / "fixtures/criu/4.2.1-files"
CONTAINER = IMAGES.parent / "4.2.1-leave-running"
LISTENERS = (Listener(b"\x7f\0\0\1", 8123, False), Listener(b"\0" * 15 + b"\1", 8124, True))


def test_files_that_a_restore_opens() -> None:
    found = {one.name: one for one in read_saved_files(str(IMAGES))}
    assert found["/srv/data"] == SavedFile("/srv/data", 0o100644, 11)
    assert found["/srv/log"] == SavedFile("/srv/log", 0o100644, None), "a file to append to may grow"
    assert found["/srv"].mode == 0o40755 and found["/dev/null"].mode == 0o20666
    assert found["/usr/bin/python3.13"].size == 6832784
    assert "/srv/gone" not in found, "the images hold a deleted file"


def test_ports() -> None:
    assert read_listeners(str(IMAGES)) == LISTENERS


def test_ports_of_a_network_in_the_images_are_no_ports_of_the_host(tmp_path: Path) -> None:
    shutil.copytree(IMAGES, tmp_path / "images")
    (tmp_path / "images/netns-9.img").write_text("")
    assert read_listeners(str(tmp_path / "images")) == ()


def test_a_folder_without_these_images(tmp_path: Path) -> None:
    for read in (read_saved_files, read_contained_files, read_listeners):
        with pytest.raises(FileNotFoundError):
            read(str(tmp_path))


def test_each_reader_leaves_out_the_files_of_the_other_kind_of_mounts() -> None:
    assert read_contained_files(str(CONTAINER)) and read_saved_files(str(CONTAINER)) == ()
    roots = {one.mount for one in read_saved_files(str(IMAGES))}
    assert roots == {None}, "the host's own mounts are not in the images"


def test_damaged_images(tmp_path: Path) -> None:
    (tmp_path / "files.img").write_bytes((IMAGES / "files.img").read_bytes()[:700])
    with pytest.raises(ImageError):
        read_saved_files(str(tmp_path))
