# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.copies import copy_sum


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/file").write_bytes(b"content")
    (folder / "a/link").symlink_to("b/file")
    os.mkfifo(folder / "pipe")
    return folder


def truncate(copy: Path) -> None:
    keeping_the_time(copy / "a/b/file", b"short")


def zeros(copy: Path) -> None:
    """What a file has after a loss of power: its size, and no content."""
    keeping_the_time(copy / "a/b/file", b"\0" * 7)


def keeping_the_time(path: Path, content: bytes) -> None:
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(copy: Path) -> None:
    (copy / "pipe").unlink()


def add(copy: Path) -> None:
    (copy / "a/new").touch()


def move(copy: Path) -> None:
    (copy / "a/b/file").rename(copy / "a/file")


def change_mode(copy: Path) -> None:
    (copy / "a/b/file").chmod(0o4755)


def change_link(copy: Path) -> None:
    (copy / "a/link").unlink()
    (copy / "a/link").symlink_to("b/none")


CHANGES: list[Callable[[Path], None]] = [truncate, zeros, remove, add, move, change_mode, change_link]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_change_is_seen(copy: Path, change: Callable[[Path], None]) -> None:
    before = copy_sum(str(copy))
    assert copy_sum(str(copy)) == before
    change(copy)
    assert copy_sum(str(copy)) != before


def test_place_and_order_do_not_count(copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere/other"
    shutil.copytree(copy / "a", other / "a", symlinks=True)
    os.mkfifo(other / "pipe")
    for one, two in ((copy, other), (copy / "pipe", other / "pipe"), (copy / "a/link", other / "a/link")):
        times = one.lstat()
        os.utime(two, ns=(times.st_atime_ns, times.st_mtime_ns), follow_symlinks=False)
    assert copy_sum(str(other)) == copy_sum(str(copy))


def test_deep_tree(tmp_path: Path) -> None:
    """Deeper than Python's recursion goes."""
    path = str(tmp_path)
    for dummy in range(sys.getrecursionlimit() + 100):
        path += "/d"
        os.mkdir(path)
    try:
        assert len(copy_sum(str(tmp_path))) == 64
    finally:
        subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)  # Python would recurse


@pytest.mark.parametrize("kind", ["missing", "file", "link"])
def test_no_copy(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "file":
        path.touch()
    elif kind == "link":
        path.symlink_to(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        copy_sum(str(path))
    assert caught.value.reason == "copy_unreadable" and "\n" not in caught.value.message
