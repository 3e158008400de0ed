# SPDX-License-Identifier: GPL-3.0-or-later
"""What no archive may do to the host that unpacks it: each is refused in one line."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import unpack as unpacking
from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_step
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Unpack
from ansible_collections.criu.hosts.tests.unit.tars import END, entry, header, octal, pax

BINARY = b"\x80" + (10**18).to_bytes(11, "big")


def unpack(folder: Path, data: bytes) -> Path:
    (folder / "a.tar").write_bytes(data)
    apply_step(None, Unpack(str(folder / "a.tar"), str(folder / "in/tree")), None)  # type: ignore[arg-type]
    return folder / "in/tree"


BAD = [
    pytest.param(pax(path=b"a\0b") + entry(b"a") + END, id="nul-in-a-name"),
    pytest.param(pax(linkpath=b"a\0b") + header(b"a", kind=b"2") + END, id="nul-in-a-target"),
    pytest.param(pax(mtime=b"nan") + entry(b"a") + END, id="time-nan"),
    pytest.param(pax(mtime=b"1e300") + entry(b"a") + END, id="time-huge"),
    pytest.param(pax(mtime=b"-1e300") + entry(b"a") + END, id="time-before-1970"),
    pytest.param(header(b"a", mtime=BINARY) + END, id="time-binary"),
    pytest.param(header(b"a", BINARY) + b"x" * 5000 + END, id="claims-far-beyond-the-end"),
    pytest.param(pax(size=b"1" + b"0" * 18) + entry(b"a") + END, id="extended-size-far-beyond-the-end"),
    pytest.param(pax(GNU__sparse__size=b"1" + b"0" * 18) + entry(b"a") + END, id="sparse"),
    pytest.param(header(b"a", kind=b"S") + END, id="sparse-of-gnu"),
    pytest.param(pax(path=b"a" * 300) + entry(b"a") + END, id="long-part"),
    pytest.param(pax(path=b"a/" * 3000 + b"b") + entry(b"a") + END, id="long-name"),
    pytest.param(entry(b"a", b"1") + entry(b"a", b"2") + END, id="twice"),
    pytest.param(entry(b"a", b"1") + entry(b"./a", b"2") + END, id="twice-by-another-name"),
    pytest.param(entry(b"a", b"1") + entry(b"a/b", b"2") + END, id="below-a-file"),
    pytest.param(entry(b"a/b", b"1") + entry(b"a", b"2") + END, id="file-instead-of-a-folder"),
    pytest.param(entry(b"a", b"1") + header(b"a/", kind=b"5") + END, id="folder-instead-of-a-file"),
    pytest.param(header(b"a", kind=b"2", target=b".") + entry(b"a/b") + END, id="below-a-link"),
    pytest.param(header(b"a", kind=b"2", target=b"a") + entry(b"a/b") + END, id="below-a-link-to-itself"),
    pytest.param(header(b"a", kind=b"2") + END, id="link-to-nothing"),
    pytest.param(header(b"a", kind=b"3") + END, id="device"),
    pytest.param(header(b"a", kind=b"6") + END, id="pipe"),
    pytest.param(b"\x1f\x8b\x08" + bytes(600), id="compression-of-noise"),
]


@pytest.mark.parametrize("data", BAD)
def test_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        unpack(tmp_path, data)
    assert caught.value.reason == "unpack_failed" and caught.value.message.isprintable()
    assert sum(path.lstat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1 << 20


def test_no_folder_is_made_through_links(tmp_path: Path) -> None:
    """Each of the links stays inside; the folder behind both would not."""
    links = header(b"d/x", kind=b"2", target=b"..") + header(b"d/y", kind=b"2", target=b"x/..")
    with pytest.raises(CheckpointError):
        unpack(tmp_path, header(b"d/", kind=b"5") + links + entry(b"d/y/evil/file") + END)
    assert not list(tmp_path.rglob("evil"))


def test_more_than_any_archive_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SIZE_LIMIT", 3000)
    assert len(list(unpack(tmp_path, entry(b"a", b"x" * 2000) + entry(b"b", b"x" * 1000) + END).iterdir())) == 2
    (tmp_path / "more").mkdir()
    with pytest.raises(CheckpointError, match="have 4000 bytes or more") as caught:
        unpack(tmp_path / "more", entry(b"a", b"x" * 2000) + entry(b"b", b"x" * 2000) + END)
    assert caught.value.reason == "unpack_failed"


def test_more_than_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    full = os.statvfs_result((real.f_bsize, 512, real.f_blocks, 3, 3, *tuple(real)[5:10]))
    monkeypatch.setattr("os.statvfs", lambda dummy_path: full)
    with pytest.raises(CheckpointError, match="2000 bytes or more, and 1536 are free") as caught:
        unpack(tmp_path, entry(b"a", b"x" * 2000) + END)
    assert caught.value.reason == "disk_full" and not (tmp_path / "in/tree/a").exists()


def test_what_is_in_the_archive(tmp_path: Path) -> None:
    data = pax(mtime=b"1700000000.5", path="\u00e9/b".encode()) + entry(b"a", b"x" * 70_000, mode=0o6755)
    tree = unpack(tmp_path, gzip.compress(data + header(b"c", kind=b"2", target=b"\xc3\xa9/b") + END))
    status = (tree / "\u00e9/b").stat()
    assert (status.st_size, status.st_mtime, status.st_mode & 0o7777) == (70_000, 1_700_000_000.5, 0o755)
    assert (tree / "c").read_bytes() == b"x" * 70_000


def test_damage_at_any_place(tmp_path: Path) -> None:
    dice = random.Random(20261130)
    whole = pax(path=b"top/file", mtime=b"5.5") + entry(b"a", b"x" * 700) + header(b"l", kind=b"2", target=b"top/file")
    whole += entry(b"top/other/file", b"y") + END
    said = []
    for number in range(400):
        data = bytearray(whole)
        for dummy in range(dice.randint(1, 3)):
            place = dice.randrange(len(data))
            data[place : place + dice.randint(1, 3)] = dice.randbytes(dice.randint(0, 3))
        if number % 2:
            start = 1024
            total = sum(data[start : start + 148]) + sum(data[start + 156 : start + 512]) + 256
            data[start + 148 : start + 156] = octal(total, 7) + b" "
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            unpack(folder, bytes(data))
        except CheckpointError as error:
            said.append((error.reason, error.message.isprintable()))
        assert {path.name for path in folder.iterdir()} <= {"a.tar", "in"}
    assert 0 < len(said) < 400 and set(said) == {("unpack_failed", True)}
