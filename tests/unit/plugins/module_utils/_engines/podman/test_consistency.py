# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the comparison of an archive's files with its memory; files.img is CRIU 4.2.1's of a container that ran on."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.consistency import changed_files
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_regular_files

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


def archive(folder: Path, files: dict[str, Any], mounts: tuple[str, ...] = ()) -> str:
    spec = {"mounts": [{"destination": one} for one in mounts]}
    path = folder / "web.tar"
    members = {"config.dump": b"{}", "spec.dump": json.dumps(spec).encode(), "checkpoint/pages-1.img": b"memory"}
    path.write_bytes(tar({**members, "rootfs-diff.tar": tar(files)}))
    return str(path)


def test_the_files_of_the_images() -> None:
    found = {one.name: one.size for one in read_regular_files(str(IMAGES))}
    assert found["/app.log"] == SIZE
    # A device and a folder have no such size; the content of a removed file is in the images.
    assert not {"/dev/null", "/", "/tmp/gone"} & set(found)


@pytest.mark.parametrize(
    ("files", "mounts", "expected"),
    [
        ({"app.log": SIZE}, (), ()),
        ({"app.log": SIZE + 1}, (), ("/app.log",)),
        ({"app.log": 5, "other": 1}, ("/proc", "/dev"), ("/app.log",)),
        ({"other": 5}, (), ()),
        ({"app.log": 5}, ("/app.log",), ()),
        ({"tmp/gone": 99}, (), ()),
    ],
    ids=["same", "grown", "cut", "unchanged-in-the-image", "a-volume", "removed-and-made-again"],
)
def test_sizes_that_differ(tmp_path: Path, files: dict[str, Any], mounts: Any, expected: tuple[str, ...]) -> None:
    assert changed_files(str(IMAGES), archive(tmp_path, files, mounts)) == expected


def test_what_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    assert changed_files(str(tmp_path / "none"), archive(tmp_path, {"app.log": 5})) == ()
    whole = Path(archive(tmp_path, {"app.log": 5})).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:1000])
    assert changed_files(str(IMAGES), str(tmp_path / "cut.tar")) == ()


def test_a_copy_that_was_cut_off_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    """Podman goes on with "archive/tar: write too long" when a file grows while it is copied."""
    path, inside = tmp_path / "web.tar", tar({"app.log": 5, "b": b"1" * 2000})
    path.write_bytes(tar({"rootfs-diff.tar": inside[:2000]}))
    assert changed_files(str(IMAGES), str(path)) == ("/app.log",)
