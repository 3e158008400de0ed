# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads from CRIU's images which memory a process had, and the command line and environment that its pages hold.

An archive is read in one pass: mm-PID.img has the places, pagemap-PID.img says where in pages-N.img they are.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Callable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    COMMON_MAGIC,
    ImageError,
    Message,
    Read,
    entries_from,
    number,
    parse_message,
)

MM_MAGIC = 0x57492820
PAGEMAP_MAGIC = 0x56084025
# One entry has all mappings of a process, of which the kernel allows 65,530 by default.
MM_LIMIT = 4 << 20
PAGE = 4096
# A command line, or an environment, that is longer is cut.
TEXT_LIMIT = 1 << 17
# Bits of a pagemap entry; without any it is of a CRIU that writes only pages that are there.
_IN_PARENT, _PRESENT = 1, 4
# The flag MAP_GROWSDOWN: newer CRIU has no bit for a stack.
_GROWS_DOWN = 0x100
# Bits of a mapping's status (criu/include/image.h), the first of them counts: a memfd is a file, too.
_KINDS = (
    (1 << 1, "stack"),
    (1 << 2 | 1 << 3 | 1 << 12, "kernel"),
    (1 << 5, "heap"),
    (1 << 8 | 1 << 10 | 1 << 14, "shared"),
    (1 << 6, "file_private"),
    (1 << 7, "file_shared"),
    (1 << 9, "anonymous"),
)
KINDS = (*(kind for dummy, kind in _KINDS), "other")
# A piece of pages-N.img: where it is there, its length, which text it belongs to, and where in it.
Span = tuple[int, int, int, int]


@dataclass
class Memory:
    """The memory of a process. ``areas``: start, end and kind of each mapping, one after the other.

    ``texts``: the areas of the command line and the environment as they are read; None if they are not in the images.
    """

    ranges: tuple[tuple[int, int], tuple[int, int]]
    areas: array[int]
    pages_id: int = -1
    pages: int = 0
    saved: list[int] | None = None
    spans: list[Span] = field(default_factory=list)
    texts: list[bytearray | None] = field(default_factory=lambda: [None, None])
    whole: list[bool] = field(default_factory=lambda: [True, True])


def _kind(area: Message) -> int:
    status = number(area, 7) | (1 << 1 if number(area, 6) & _GROWS_DOWN else 0)
    return next((index for index, (bits, dummy) in enumerate(_KINDS) if status & bits), len(_KINDS))


def read_memory(read: Read, *, areas: bool) -> Memory:
    """Reads mm-PID.img; its mappings only if ``areas`` is set.

    Raises:
        ImageError: it is damaged, or its mappings are out of order.
    """
    for entry in entries_from(read, COMMON_MAGIC, MM_MAGIC, limit=MM_LIMIT):
        starts = [(number(entry, first), number(entry, first + 1)) for first in (8, 10)]
        if any(end < start for start, end in starts):
            raise ImageError("its command line ends before it begins")
        found: array[int] = array("Q")
        last = 0
        for data in entry.get(14, ()) if areas else ():
            area = parse_message(data if isinstance(data, bytes) else b"\0")
            start, end = number(area, 1), number(area, 2)
            if not last <= start <= end < 1 << 64:
                raise ImageError("its mappings are out of order")
            found.extend((start, end, _kind(area)))
            last = end
        return Memory((starts[0], starts[1]), found)
    raise ImageError("it has no entry")


def read_pagemap(read: Read, memory: Memory | None, room: Callable[[int], bool]) -> int:
    """Reads a pagemap into the memory of its process; returns how many pages it has in pages-N.img.

    ``room`` returns whether that many bytes of text may still be kept. Without ``memory`` pages are only counted.

    Raises:
        ImageError: it is damaged, or out of order.
    """
    entries = entries_from(read, COMMON_MAGIC, PAGEMAP_MAGIC)
    head = next(entries, None)
    if head is None:
        raise ImageError("it has no entry")
    saved = [0] * len(KINDS)
    at = last = pages = 0
    for entry in entries:
        start, count = number(entry, 1), number(entry, 5) or number(entry, 2)
        flags = number(entry, 4, _IN_PARENT if number(entry, 3) else _PRESENT)
        end = start + count * PAGE
        if not last <= start <= end < 1 << 64:
            raise ImageError("its entries are out of order")
        last = end
        present = bool(flags & _PRESENT) and not flags & _IN_PARENT
        if memory is not None:
            _note_spans(memory, start, end, pages * PAGE if present else None)
            at = _note_kinds(memory, start, end, at, saved if present else [0] * len(KINDS))
        pages += count if present else 0
    if memory is not None:
        memory.pages_id, memory.pages, memory.saved = number(head, 1), pages, saved
        for text, (start, end) in enumerate(memory.ranges):
            size = min(end - start, TEXT_LIMIT)
            if memory.whole[text] and room(size):
                memory.texts[text] = bytearray(size)
    return pages


def _note_spans(memory: Memory, start: int, end: int, place: int | None) -> None:
    """Notes what of the texts is in these pages, which are at ``place``; None if they are in different images."""
    for text, (first, last) in enumerate(memory.ranges):
        low, high = max(start, first), min(end, last, first + TEXT_LIMIT)
        if low < high and place is None:
            memory.whole[text] = False
        elif low < high and place is not None:
            memory.spans.append((place + low - start, high - low, text, low - first))


def _note_kinds(memory: Memory, start: int, end: int, at: int, saved: list[int]) -> int:
    """Adds the pages to the kinds of the mappings from ``at`` on; returns the mapping that the next entry begins at."""
    areas = memory.areas
    while at < len(areas) and areas[at + 1] <= start:
        at += 3
    there = at
    while there < len(areas) and areas[there] < end:
        saved[areas[there + 2]] += min(end, areas[there + 1]) - max(start, areas[there])
        there += 3
    return at


def read_pages(size: int, memory: Memory, skip: Callable[[int], None], part: Read) -> None:
    """Reads the texts of a process out of its pages-N.img, which has ``size`` bytes; all else is skipped."""
    if size != memory.pages * PAGE:
        # Of a machine with other pages, or not these pages.
        memory.texts, memory.saved = [None, None], None
        return
    at = 0
    for place, length, text, offset in sorted(memory.spans):
        kept = memory.texts[text]
        if place < at or kept is None:
            memory.texts[text] = None
            continue
        skip(place - at)
        kept[offset : offset + length] = part(length)
        at = place + length


def command_line(memory: Memory) -> str | None:
    """Returns the command line, its words separated by blanks; None if the images do not have it."""
    area = memory.texts[0]
    return None if area is None else bytes(area).rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "surrogateescape")


def environment_names(memory: Memory) -> tuple[str, ...] | None:
    """Returns the names of the environment's variables, never a value; None if the images do not have them.

    A process may write its title over its command line and on into the environment. The command line then does not end
    with a zero, and a piece of a value could be taken for a name: then none is returned.
    """
    area, before = memory.texts[1], memory.texts[0]
    if area is None or before is None or (before and before[-1]):
        return None
    return tuple(_names(bytes(area)))


def _names(area: bytes) -> Iterator[str]:
    for variable in area.split(b"\0"):
        name, sign, dummy = variable.partition(b"=")
        if sign and name:
            yield name.decode("utf-8", "surrogateescape")
