# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines, environments and kinds of memory in images that no CRIU would write, and in unusual ones."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats import criu_memory
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import COMMON_MAGIC, ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_memory import (
    MM_MAGIC,
    PAGE,
    PAGEMAP_MAGIC,
    Memory,
    command_line,
    environment_names,
    read_memory,
    read_pagemap,
    read_pages,
)

START = 0x7000 * PAGE


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def message(**fields: int | bytes) -> bytes:
    """Returns a message; the fields are called f1, f2 and so on."""
    found = b""
    for name, value in fields.items():
        key = int(name[1:].split("_")[0]) << 3
        if isinstance(value, bytes):
            found += varint(key | 2) + varint(len(value)) + value
        else:
            found += varint(key) + varint(value)
    return found


def image(magic: int, *entries: bytes) -> Any:
    parts = b"".join(struct.pack("<I", len(one)) + one for one in entries)
    return io.BytesIO(struct.pack("<2I", COMMON_MAGIC, magic) + parts).read


def area(start: int, pages: int, status: int) -> bytes:
    return message(f1=START + start * PAGE, f2=START + (start + pages) * PAGE, f6=0, f7=status)


def memory(arguments: bytes, environment: bytes, *areas: bytes) -> Memory:
    """Returns the memory of a process whose command line begins 16 bytes before the end of the first page."""
    begin = START + PAGE - 16
    middle, end = begin + len(arguments), begin + len(arguments) + len(environment)
    mappings = {f"f14_{index}": one for index, one in enumerate(areas)}
    mm = message(f8=begin, f9=middle, f10=middle, f11=end, **mappings)
    return read_memory(image(MM_MAGIC, mm), areas=True)


def read(arguments: bytes, environment: bytes, *, flags: int = 4, size: int = 2 * PAGE) -> Memory:
    found = memory(arguments, environment)
    pagemap = image(PAGEMAP_MAGIC, message(f1=1), message(f1=START, f2=0, f4=flags, f5=2))
    assert read_pagemap(pagemap, found, lambda dummy: True) == (2 if flags == 4 else 0)
    pages = io.BytesIO((bytes(PAGE - 16) + arguments + environment).ljust(size, b"\0"))

    def skip(count: int) -> None:
        pages.seek(count, io.SEEK_CUR)

    read_pages(size, found, skip, pages.read)
    return found


def test_texts_over_the_end_of_a_page() -> None:
    found = read(b"/usr/bin/python3\0-c\0x y\0", b"HOME=/root\0EMPTY=\0no sign\0=x\0")
    assert command_line(found) == "/usr/bin/python3 -c x y"
    assert environment_names(found) == ("HOME", "EMPTY")


def test_a_title_over_the_environment_hides_the_names() -> None:
    found = read(b"nginx: worker, a long titl", b"e=SECRET\0HOME=/root\0")
    assert command_line(found) == "nginx: worker, a long titl"
    assert environment_names(found) is None


def test_what_is_in_the_images_of_a_pre_dump_is_not_known() -> None:
    found = read(b"sh\0", b"A=1\0", flags=1)
    assert (command_line(found), environment_names(found)) == (None, None)


def test_pages_of_a_different_size_are_not_read() -> None:
    found = read(b"sh\0", b"A=1\0", size=32 * PAGE)
    assert (command_line(found), environment_names(found), found.saved) == (None, None, None)


def test_without_room_nothing_is_kept() -> None:
    found = memory(b"sh\0", b"A=1\0")
    pagemap = image(PAGEMAP_MAGIC, message(f1=1), message(f1=START, f2=2, f4=4))
    read_pagemap(pagemap, found, lambda dummy: False)
    assert found.texts == [None, None]


def test_a_long_command_line_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criu_memory, "TEXT_LIMIT", 4)
    assert command_line(read(b"abcdefgh\0", b"")) == "abcd"


def test_saved_pages_by_kind() -> None:
    """The middle mapping has the last page of the first entry and the first of the second one."""
    found = memory(b"", b"", area(0, 2, 1 << 5), area(2, 2, 1 << 9), area(5, 4, 1 << 7 | 1 << 14))
    entries = [message(f1=START, f2=3, f4=4), message(f1=START + 3 * PAGE, f2=3, f4=4)]
    read_pagemap(image(PAGEMAP_MAGIC, message(f1=1), *entries), found, lambda dummy: True)
    assert found.saved is not None
    saved = {kind: size // PAGE for kind, size in zip(criu_memory.KINDS, found.saved) if size}
    assert saved == {"heap": 2, "anonymous": 2, "shared": 1}


def test_what_is_out_of_order_is_refused() -> None:
    """In order, the work grows with the number of entries and mappings, not with their product."""
    with pytest.raises(ImageError, match="mappings are out of order"):
        memory(b"", b"", area(2, 1, 1), area(0, 1, 1))
    found = memory(b"", b"")
    entries = [message(f1=START + PAGE, f2=1, f4=4), message(f1=START, f2=1, f4=4)]
    with pytest.raises(ImageError, match="entries are out of order"):
        read_pagemap(image(PAGEMAP_MAGIC, message(f1=1), *entries), found, lambda dummy: True)


def test_a_command_line_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ImageError, match="ends before it begins"):
        read_memory(image(MM_MAGIC, message(f8=9, f9=8, f10=8, f11=8)), areas=False)
