# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads which shared libraries an ELF file needs, without reading the whole file or running anything."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_SONAME = 0, 1, 5, 14
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
# e_machine: the name that uname -m prints for it
MACHINES = {
    3: "i386",
    8: "mips",
    21: "ppc64le",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
# A real file stays far below these limits. A broken one must not make the reader allocate gigabytes.
MAX_HEADERS = 4096
MAX_DYNAMIC = 1 << 20
MAX_NAME = 4096
MAX_NAMES = 1 << 16


class ElfError(ValueError):
    """The file is not a readable ELF file."""


@dataclass(frozen=True)
class Elf:
    """The content of an ELF file's headers. ``versions`` are those of symbols, such as GLIBC_2.38."""

    machine: str
    bits: int
    interpreter: str | None
    needed: tuple[str, ...]
    soname: str | None
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True)
class _Linked:
    """The content of the dynamic section."""

    needed: tuple[str, ...] = ()
    soname: str | None = None
    versions: tuple[str, ...] = ()


class _Reader:
    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        ident = self.at(0, 16)
        if ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise ElfError("no ELF header")
        self.wide = ident[4] == 2
        self.order = "<" if ident[5] == 1 else ">"

    def _seek(self, offset: int) -> None:
        try:
            self._handle.seek(offset)
        except (OverflowError, ValueError, OSError) as error:
            raise ElfError(f"offset {offset} does not exist") from error

    def at(self, offset: int, size: int) -> bytes:
        self._seek(offset)
        data = self._handle.read(size)
        if len(data) != size:
            raise ElfError(f"the file ends before offset {offset + size}")
        return data

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack(self.order + layout, self.at(offset, struct.calcsize(self.order + layout)))

    def text(self, offset: int) -> str:
        """Returns the zero-terminated string at ``offset``."""
        data = b""
        while len(data) < MAX_NAME:
            self._seek(offset + len(data))
            piece = self._handle.read(64)
            end = piece.find(b"\0")
            if end >= 0:
                return (data + piece[:end]).decode("utf-8", "surrogateescape")
            if not piece:
                break
            data += piece
        raise ElfError(f"the string at offset {offset} has no end")


def read_elf(handle: IO[bytes]) -> Elf:
    """Reads the headers of the ELF file ``handle`` (seekable, opened in binary mode).

    Raises:
        ElfError: it is not an ELF file, or it is cut off.
    """
    reader = _Reader(handle)
    machine = reader.unpack("H", 18)[0]
    if reader.wide:
        table, (size, count) = reader.unpack("Q", 32)[0], reader.unpack("HH", 54)
    else:
        table, (size, count) = reader.unpack("I", 28)[0], reader.unpack("HH", 42)
    if count > MAX_HEADERS:
        raise ElfError(f"{count} program headers")
    segments = [_segment(reader, table + size * number) for number in range(count)]
    interpreter = next((reader.text(one.offset) for one in segments if one.kind == PT_INTERP), None)
    dynamic = next((one for one in segments if one.kind == PT_DYNAMIC), None)
    linked = _read_dynamic(reader, dynamic, segments) if dynamic else _Linked()
    return Elf(
        machine=MACHINES.get(machine, f"machine {machine}"),
        bits=64 if reader.wide else 32,
        interpreter=interpreter,
        needed=linked.needed,
        soname=linked.soname,
        versions=linked.versions,
    )


def _segment(reader: _Reader, offset: int) -> _Segment:
    if reader.wide:
        kind, dummy_flags, start, address, dummy_physical, size = reader.unpack("IIQQQQ", offset)
    else:
        kind, start, address, dummy_physical, size = reader.unpack("IIIII", offset)
    return _Segment(kind, start, address, size)


def _read_dynamic(reader: _Reader, dynamic: _Segment, segments: list[_Segment]) -> _Linked:
    if dynamic.size > MAX_DYNAMIC:
        raise ElfError(f"a dynamic section of {dynamic.size} bytes")
    layout = "qQ" if reader.wide else "iI"
    width = struct.calcsize(reader.order + layout)
    entries: list[tuple[int, int]] = []
    for number in range(dynamic.size // width):
        tag, value = reader.unpack(layout, dynamic.offset + number * width)
        if tag == DT_NULL:
            break
        entries.append((tag, value))
    tables = [value for tag, value in entries if tag == DT_STRTAB]
    if not tables:
        return _Linked()
    strings = _file_offset(tables[0], segments)
    wanted = [value for tag, value in entries if tag == DT_NEEDED]
    if len(wanted) > MAX_HEADERS:
        raise ElfError(f"{len(wanted)} libraries")
    needed = tuple(reader.text(strings + value) for value in wanted)
    soname = next((reader.text(strings + value) for tag, value in entries if tag == DT_SONAME), None)
    starts = [_file_offset(value, segments) for tag, value in entries if tag == DT_VERNEED]
    count = next((value for tag, value in entries if tag == DT_VERNEEDNUM), 0)
    versions = _read_versions(reader, starts[0], count, strings) if starts else ()
    return _Linked(needed, soname, versions)


def _read_versions(reader: _Reader, start: int, count: int, strings: int) -> tuple[str, ...]:
    """Reads the symbol versions that the file needs of each library: two nested lists, linked by offsets."""
    found: list[str] = []
    for dummy in range(min(count, MAX_HEADERS)):
        dummy_version, number, dummy_file, first, following = reader.unpack("HHIII", start)
        entry = start + first
        for dummy_entry in range(min(number, MAX_HEADERS)):
            dummy_hash, dummy_flags, dummy_other, name, step = reader.unpack("IHHII", entry)
            found.append(reader.text(strings + name))
            if len(found) > MAX_NAMES:
                raise ElfError(f"more than {MAX_NAMES} versions of symbols")
            entry += step
        start += following
    return tuple(dict.fromkeys(found))


def _file_offset(address: int, segments: list[_Segment]) -> int:
    for one in segments:
        if one.kind == PT_LOAD and one.address <= address < one.address + one.size:
            return one.offset + address - one.address
    raise ElfError(f"address {address:#x} is in no segment")
