# SPDX-License-Identifier: GPL-3.0-or-later
"""The container writes the files: whatever it puts there, the result is the version or one line with a reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud import files
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.files import find_version, read_apps, read_version
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import AppRange

VERSION = b"<?php $OC_Version = [31,0,10,2];"
APP = b"<info><id>polls</id><nextcloud max-version='32'/></info>"


def link_to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def link_to_a_file(path: Path) -> None:
    """A file with the expected content, which only the host may read."""
    other = path.parent / "other"
    other.write_bytes(VERSION + APP)
    path.symlink_to(other)


def sparse(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 42)


def endless_line(path: Path) -> None:
    path.write_bytes(b"a" * (files.APP_LIMIT + 1))


KINDS: list[Callable[[Path], None]] = [
    os.mkfifo,
    Path.mkdir,
    link_to_zero,
    link_to_itself,
    link_to_a_file,
    sparse,
    endless_line,
]


def refused(read: Callable[[], object]) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read()
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_version_file_of_another_kind(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "version.php")
    assert refused(lambda: find_version(str(tmp_path))).reason == "file_unreadable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_version_file_is_a_device(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "version.php", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container may not make a device")
    assert refused(lambda: find_version(str(tmp_path))).reason == "file_unreadable"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 500, b"\xff\xfe$OC_Version", b"$OC_Version = [ , ];", b"$OC_Version = [" + b"[" * 60_000],
    ids=["empty", "nul", "not-utf-8", "only-a-comma", "nested"],
)
def test_version_file_without_a_version(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "version.php").write_bytes(content)
    assert refused(lambda: find_version(str(tmp_path))).reason == "version_unknown"


def test_version_file(tmp_path: Path) -> None:
    assert find_version(str(tmp_path / "none")) is None and find_version(str(tmp_path)) is None
    assert refused(lambda: read_version(str(tmp_path))).reason == "version_unknown"
    (tmp_path / "version.php").write_bytes(VERSION + b"\0\xff")
    assert find_version(str(tmp_path)) == read_version(str(tmp_path)) == (31, 0, 10)


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_info_of_another_kind(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "polls/appinfo").mkdir(parents=True)
    make(tmp_path / "polls/appinfo/info.xml")
    assert refused(lambda: read_apps([str(tmp_path)])).reason == "file_unreadable"


@pytest.mark.parametrize("make", [link_to_zero, link_to_itself, os.mkfifo], ids=lambda make: make.__name__)
def test_folder_in_an_app_of_another_kind(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "polls").mkdir()
    make(tmp_path / "polls/appinfo")
    assert refused(lambda: read_apps([str(tmp_path)])).reason == "file_unreadable"


def test_app_is_a_link(tmp_path: Path) -> None:
    """Not followed, and not left out: Nextcloud may have enabled it."""
    info = tmp_path / "other/polls/appinfo/info.xml"
    info.parent.mkdir(parents=True)
    info.write_bytes(APP)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/polls").symlink_to("../other/polls")
    assert refused(lambda: read_apps([str(tmp_path / "apps")])).reason == "file_unreadable"


@pytest.mark.parametrize("make", [os.mkfifo, sparse, endless_line], ids=lambda make: make.__name__)
def test_what_is_no_folder_is_no_app(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "polls")
    assert read_apps([str(tmp_path)]) == []


def test_apps(tmp_path: Path) -> None:
    info = tmp_path / "polls/appinfo/info.xml"
    info.parent.mkdir(parents=True)
    info.write_bytes(b"\0\xff" + APP)
    (tmp_path / "empty").mkdir()
    assert read_apps([str(tmp_path), str(tmp_path / "none")]) == [AppRange("polls", 32)]


def test_too_many_apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "APPS_LIMIT", 3)
    for name in "abcd":
        (tmp_path / name).touch()
    assert refused(lambda: read_apps([str(tmp_path)])).reason == "file_unreadable"
