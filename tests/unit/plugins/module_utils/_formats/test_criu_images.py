# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of CRIU's image files, on files that CRIU 4.2.1 wrote on Debian 13 with SELinux enforcing."""

from __future__ import annotations

import os
import random
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    COMMON_MAGIC,
    ENTRY_LIMIT,
    INVENTORY_MAGIC,
    PSTREE_MAGIC,
    ImageError,
    Task,
    entries,
    numbers,
    parse_message,
    read_core,
    read_inventory,
    read_statistics,
    read_tasks,
)

IMAGES = Path(__file__).parents[3] / "fixtures/criu/4.2.1-images"


def test_inventory() -> None:
    found = read_inventory(str(IMAGES))
    assert (found.version, found.lsm) == (2, "selinux")


def test_tasks() -> None:
    assert read_tasks(str(IMAGES)) == (Task(1463, (1463, 1465, 1466, 1467)),)


@pytest.mark.parametrize("tid", [1463, 1465, 1466, 1467])
def test_every_thread_tells_its_label(tid: int) -> None:
    core = read_core(str(IMAGES), tid)
    assert (core.comm, core.label) == ("python3", "system_u:system_r:initrc_t:s0")


def test_statistics() -> None:
    assert read_statistics(str(IMAGES / "stats-dump"))["written_pages"] == 823
    assert read_statistics(str(IMAGES / "stats-restore")) == {
        "forking_microseconds": 279,
        "restore_microseconds": 582335,
        "restored_pages": 823,
    }
    assert read_statistics(str(IMAGES / "none")) == {}
    assert read_statistics(str(IMAGES / "pstree.img")) == {}


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"", {}),
        (b"\x08\x96\x01", {1: [150]}),
        (b"\x12\x03abc", {2: [b"abc"]}),
        (b"\x28\x01\x28\x02", {5: [1, 2]}),
        (b"\x0d\x01\x00\x00\x00\x09" + bytes(8), {1: [b"\x01\0\0\0", bytes(8)]}),
    ],
)
def test_wire_format(data: bytes, fields: dict) -> None:
    assert parse_message(data) == fields


@pytest.mark.parametrize("data", [b"\x08", b"\x08" + b"\xff" * 11, b"\x12\x05ab", b"\x0b", b"\x0d\x01"])
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        parse_message(data)


def test_packed_numbers_are_the_same() -> None:
    assert numbers(parse_message(b"\x28\x07\x28\x96\x01"), 5) == numbers(parse_message(b"\x2a\x03\x07\x96\x01"), 5)


@pytest.mark.parametrize("size", [0, 3, 7, 9, 11, 14, 34])
def test_cut_off_tree(tmp_path: Path, size: int) -> None:
    data = (IMAGES / "pstree.img").read_bytes()
    assert size < len(data)
    (tmp_path / "pstree.img").write_bytes(data[:size])
    with pytest.raises(ImageError):
        read_tasks(str(tmp_path))


def test_another_kind_of_image(tmp_path: Path) -> None:
    shutil.copyfile(IMAGES / "core-1463.img", tmp_path / "inventory.img")
    with pytest.raises(ImageError, match="first words"):
        read_inventory(str(tmp_path))


def test_a_huge_entry_is_not_read(tmp_path: Path) -> None:
    """The claim is refused before anything behind it is read: the file is sparse and larger than memory."""
    path = tmp_path / "pstree.img"
    path.write_bytes(struct.pack("<III", COMMON_MAGIC, PSTREE_MAGIC, ENTRY_LIMIT + 1))
    with path.open("ab") as handle:
        handle.truncate(1 << 40)
    with pytest.raises(ImageError, match="bytes"):
        read_tasks(str(tmp_path))


def test_only_the_first_entry_is_read(tmp_path: Path) -> None:
    path = tmp_path / "inventory.img"
    path.write_bytes((IMAGES / "inventory.img").read_bytes() + b"\xff\xff\xff\xffgarbage")
    assert read_inventory(str(tmp_path)).version == 2


def test_entries_come_in_order(tmp_path: Path) -> None:
    path = tmp_path / "two.img"
    path.write_bytes(struct.pack("<I", INVENTORY_MAGIC) + b"\x02\0\0\0\x08\x01\x02\0\0\0\x08\x02")
    assert list(entries(str(path), INVENTORY_MAGIC)) == [{1: [1]}, {1: [2]}]


def _sparse(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 40)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(os.mkfifo, id="pipe"),
        pytest.param(Path.mkdir, id="folder"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="device"),
        pytest.param(_sparse, id="sparse"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
    ],
)
def test_what_is_no_image(tmp_path: Path, make: Any) -> None:
    for name in ("pstree.img", "inventory.img", "core-1.img"):
        make(tmp_path / name)
    for read in (read_tasks, read_inventory, lambda folder: read_core(folder, 1)):
        with pytest.raises((ImageError, IsADirectoryError)):
            read(str(tmp_path))
    assert read_statistics(str(tmp_path / "pstree.img")) == {}


def test_damage_at_any_place(tmp_path: Path) -> None:
    dice = random.Random(20261205)
    refused = 0
    for dummy in range(500):
        for name, read in (("pstree", read_tasks), ("inventory", read_inventory), ("core-1463", _first_core)):
            data = bytearray((IMAGES / f"{name}.img").read_bytes())
            for dummy_change in range(dice.randint(1, 4)):
                data[dice.randrange(len(data))] = dice.choice([0, 1, 127, 128, 255])
            (tmp_path / f"{name}.img").write_bytes(data)
            try:
                read(str(tmp_path))
            except ImageError:
                refused += 1
    assert 0 < refused < 1500


def _first_core(folder: str) -> Any:
    return read_core(folder, 1463)
