# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the comparison of an archive's files with its memory; files.img is CRIU 4.2.1's of a container that ran on."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.consistency import (
    changed_files,
    changed_in_folder,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_files import read_contained_files

IMAGES = Path(__file__).parents[4] / "fixtures/criu/4.2.1-leave-running"
# The size of /app.log in the images.
SIZE = 38038000


def tar(members: dict[str, Any]) -> bytes:
    """Returns a tar; a number stands for a file of this size, without its content."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = data if isinstance(data, int) else len(data)
            archive.addfile(info, io.BytesIO(bytes(info.size) if isinstance(data, int) else data))
    return written.getvalue()


def archive(folder: Path, files: dict[str, Any]) -> str:
    path = folder / "web.tar"
    members = {"config.dump": b"{}", "spec.dump": b"{}", "checkpoint/pages-1.img": b"memory"}
    path.write_bytes(tar({**members, "rootfs-diff.tar": tar(files)}))
    return str(path)


def test_the_files_of_the_images() -> None:
    found = {one.name: one.size for one in read_contained_files(str(IMAGES))}
    assert found["/app.log"] == SIZE
    # A device and a folder have no such size; the content of a removed file is in the images.
    assert not {"/dev/null", "/", "/tmp/gone"} & set(found)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"app.log": SIZE}, ()),
        ({"app.log": SIZE + 1}, ("/app.log",)),
        ({"app.log": 5, "other": 1}, ("/app.log",)),
        ({"other": 5}, ()),
        ({"dev/null": 5, "tmp/gone": 99}, ()),
    ],
    ids=["same", "grown", "cut", "unchanged-in-the-image", "not-compared"],
)
def test_sizes_that_differ(tmp_path: Path, files: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert changed_files(str(IMAGES), archive(tmp_path, files)) == expected
    (tmp_path / "rootfs-diff.tar").write_bytes(tar(files))
    assert changed_in_folder(str(IMAGES), str(tmp_path)) == expected


def test_a_file_that_was_removed_after_the_dump(tmp_path: Path) -> None:
    """It is neither in the archive nor in the image."""
    for one in read_contained_files(str(IMAGES)):
        path = tmp_path / f"layer{one.name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    layers = [str(tmp_path / "empty"), str(tmp_path / "layer")]
    assert changed_files(str(IMAGES), archive(tmp_path, {}), layers) == ()
    (tmp_path / "layer/app.log").unlink()
    assert changed_files(str(IMAGES), archive(tmp_path, {}), layers) == ("/app.log",)
    assert changed_files(str(IMAGES), archive(tmp_path, {"app.log": SIZE}), layers) == ()


def test_what_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    assert changed_files(str(tmp_path / "none"), archive(tmp_path, {"app.log": 5})) == ()
    whole = Path(archive(tmp_path, {"app.log": 5})).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:1000])
    assert changed_files(str(IMAGES), str(tmp_path / "cut.tar")) == ()


def test_a_copy_that_was_cut_off_cannot_be_unpacked(tmp_path: Path) -> None:
    """Podman goes on after a file that shrank while it was copied; its restore then ends with "unexpected EOF"."""
    path, inside = tmp_path / "web.tar", tar({"app.log": 5, "b": b"1" * 2000})
    path.write_bytes(tar({"rootfs-diff.tar": inside[:2000]}))
    assert changed_files(str(IMAGES), str(path)) == ("rootfs-diff.tar",)
