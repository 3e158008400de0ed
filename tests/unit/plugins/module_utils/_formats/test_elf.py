# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import random
import re
import struct
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import Elf, ElfError, read_elf

FIXTURES = Path(__file__).parents[3] / "fixtures/elf"


def make_elf(needed: list[str], *, wide: bool, order: str, machine: int, interpreter: str = "/ld.so") -> bytes:
    """A minimal ELF file whose addresses differ from its offsets, as linkers lay them out."""
    head, entry = (64, 56) if wide else (52, 32)
    word = "Q" if wide else "I"
    names = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    offset = head + 3 * entry
    text = interpreter.encode() + b"\0"
    base = 0x10000
    tags = [(1, names.index(name.encode())) for name in needed] + [(5, base + offset + len(text)), (0, 0)]
    dynamic = b"".join(struct.pack(order + word * 2, *tag) for tag in tags)
    body = text + names
    start = offset + len(body)

    def segment(kind: int, at: int, size: int) -> bytes:
        if wide:
            return struct.pack(order + "IIQQQQQQ", kind, 4, at, base + at, 0, size, size, 1)
        return struct.pack(order + "IIIIIIII", kind, at, base + at, 0, size, size, 4, 1)

    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    header = ident + struct.pack(
        order + "HHI" + word * 3 + "IHHHHHH", 3, machine, 1, 0, head, 0, 0, head, entry, 3, 0, 0, 0
    )
    table = segment(1, 0, start + len(dynamic)) + segment(2, start, len(dynamic)) + segment(3, offset, len(text))
    return header + table + body + dynamic


@pytest.mark.parametrize(
    ("wide", "order", "machine", "name"),
    [
        pytest.param(True, "<", 62, "x86_64", id="x86_64"),
        pytest.param(True, ">", 22, "s390x", id="s390x-big-endian"),
        pytest.param(False, "<", 40, "arm", id="arm-32-bit"),
        pytest.param(False, ">", 8, "mips", id="mips-32-bit-big-endian"),
        pytest.param(True, "<", 999, "machine 999", id="unknown-machine"),
    ],
)
def test_reads_every_layout(wide: bool, order: str, machine: int, name: str) -> None:
    data = make_elf(["libselinux.so.1", "libc.so.6"], wide=wide, order=order, machine=machine)
    assert read_elf(io.BytesIO(data)) == Elf(name, 64 if wide else 32, "/ld.so", ("libselinux.so.1", "libc.so.6"), None)


def test_agrees_with_readelf() -> None:
    recorded = (FIXTURES / "gcc-14.2.0-selinux-nftables-x86_64.readelf.txt").read_text(encoding="utf-8")
    with open(FIXTURES / "gcc-14.2.0-selinux-nftables-x86_64.bin", "rb") as handle:
        elf = read_elf(handle)
    assert list(elf.needed) == re.findall(r"Shared library: \[(.*)\]", recorded)
    assert (elf.machine, elf.interpreter) == ("x86_64", "/lib64/ld-linux-x86-64.so.2")
    assert elf.versions == ("GLIBC_2.2.5", "GLIBC_2.34")


def test_never_reads_the_whole_file() -> None:
    data = make_elf(["libc.so.6"], wide=True, order="<", machine=62) + bytes(1 << 20)

    class Counting(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
            found = super().read(size)
            self.count += len(found)
            return found

    handle = Counting(data)
    read_elf(handle)
    assert handle.count < 4096


GOOD = make_elf(["libc.so.6"], wide=True, order="<", machine=62)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"#!/bin/sh\nexec criu.real\n", id="script"),
        pytest.param(b"\x7fELF\x09\x01" + bytes(58), id="unknown-class"),
        pytest.param(GOOD[:70], id="cut-in-the-headers"),
        pytest.param(GOOD[:-20], id="cut-in-the-dynamic-section"),
        pytest.param(GOOD[:56] + b"\xff\xff" + GOOD[58:], id="65535-headers"),
        pytest.param(GOOD[:32] + b"\xff" * 8 + GOOD[40:], id="table-far-away"),
        pytest.param(GOOD[:64] + b"\x06" + GOOD[65:], id="no-loaded-segment"),
    ],
)
def test_refuses(data: bytes) -> None:
    with pytest.raises(ElfError):
        read_elf(io.BytesIO(data))


def dynamic(*tags: tuple[int, int]) -> bytes:
    """A file whose dynamic section is replaced by these entries; the strings stay where they are."""
    start = GOOD.index(b"/ld.so") + len(b"/ld.so\0")
    strings = 0x10000 + start
    body = b"".join(struct.pack("<qQ", *tag) for tag in (*tags, (5, strings), (0, 0)))
    data = bytearray(GOOD[: start + 11].ljust(4096, b"\0") + body)
    struct.pack_into("<QQQQ", data, 64 + 8, 0, 0x10000, 0, len(data))
    struct.pack_into("<QQQQ", data, 64 + 56 + 8, 4096, 0x10000 + 4096, 0, len(body))
    return bytes(data)


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param([(1, (1 << 64) - 1)], id="name-far-away"),
        pytest.param([(1, (1 << 63) - 1)], id="name-at-the-largest-offset"),
        pytest.param([(14, 1 << 40)], id="own-name-behind-the-end"),
        pytest.param([(1, 1)] * 5000, id="5000-libraries"),
        pytest.param([(0x6FFFFFFE, 0x10000), (0x6FFFFFFF, 1 << 60)], id="versions-in-the-header"),
        pytest.param([(0x6FFFFFFE, (1 << 64) - 1)], id="versions-far-away"),
    ],
)
def test_refuses_what_no_linker_writes(tags: list[tuple[int, int]]) -> None:
    assert read_elf(io.BytesIO(dynamic((1, 1)))).needed == ("libc.so.6",)
    with pytest.raises(ElfError):
        read_elf(io.BytesIO(dynamic(*tags)))


def test_versions_that_point_at_themselves() -> None:
    """Sixteen million of them would be read otherwise, each with its name."""
    data = bytearray(dynamic((0x6FFFFFFE, 0x10000 + 2048), (0x6FFFFFFF, 0xFFFF)))
    struct.pack_into("<HHIII", data, 2048, 1, 0xFFFF, 0, 16, 0)
    with pytest.raises(ElfError, match="versions of symbols"):
        read_elf(io.BytesIO(bytes(data)))


def test_damage_at_any_place(tmp_path: Path) -> None:
    dice = random.Random(20261204)
    refused = 0
    wholes = [
        make_elf(["libc.so.6", "b"], wide=wide, order=order, machine=3) for wide in (True, False) for order in "<>"
    ]
    for number in range(3000):
        data = bytearray(wholes[number % 4])
        for dummy in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.choice([0, 1, 127, 128, 255, dice.randrange(256)])
        (tmp_path / "elf").write_bytes(data)
        with (tmp_path / "elf").open("rb") as handle:
            for one in (handle, io.BytesIO(data)):
                try:
                    read_elf(one)
                except ElfError:
                    refused += 1
    assert 0 < refused < 6000


def test_static_file_needs_nothing() -> None:
    data = bytearray(GOOD)
    data[64 + 56] = 6  # PT_DYNAMIC becomes PT_PHDR
    assert read_elf(io.BytesIO(bytes(data))).needed == ()
