# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
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


def test_static_file_needs_nothing() -> None:
    data = bytearray(GOOD)
    data[64 + 56] = 6  # PT_DYNAMIC becomes PT_PHDR
    assert read_elf(io.BytesIO(bytes(data))).needed == ()
