# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the small entries of CRIU's image files: inventory, process tree, labels, statistics; never memory.

It parses the protobuf wire format itself: pycriu needs google.protobuf, which EL and a minimal Debian do not have.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Union

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import without_waiting

# The first word of every image except the inventory, and that of files about a run (stats-dump).
COMMON_MAGIC = 0x54564319
SERVICE_MAGIC = 0x55105940
INVENTORY_MAGIC = 0x58313116
PSTREE_MAGIC = 0x50273030
CORE_MAGIC = 0x55053847
FILES_MAGIC = 0x56303138
# The kind of a regular file, a folder or a device in files.img (images/fdinfo.proto).
REGULAR = 1
STATS_MAGIC = 0x57093306
# An entry of these files has a few hundred bytes, and a task in pstree.img a few more for each thread.
ENTRY_LIMIT = 1 << 20
# A host has four million processes at most; CRIU's images of memory are never read.
FILE_LIMIT = 256 << 20
Value = Union[int, bytes]
Message = dict[int, list[Value]]


class ImageError(Exception):
    """A file that is not the image that its name suggests, or is damaged."""


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ImageError("a number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7


def parse_message(data: bytes) -> Message:
    """Returns the fields of one protobuf message by their numbers, each with its values in order."""
    fields: Message = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        value: Value
        if kind == 0:
            value, position = _varint(data, position)
        elif kind in (1, 2, 5):
            size = 8 if kind == 1 else 4
            if kind == 2:
                size, position = _varint(data, position)
            if position + size > len(data):
                raise ImageError("a field is cut off")
            value = data[position : position + size]
            position += size
        else:
            raise ImageError(f"wire type {kind} is unknown")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def number(message: Message, field: int, default: int = 0) -> int:
    """Returns the last value of a numeric field, which is the one that counts in protobuf."""
    value = message.get(field, [default])[-1]
    if not isinstance(value, int):
        raise ImageError(f"field {field} is not a number")
    return value


def numbers(message: Message, field: int) -> tuple[int, ...]:
    """Returns the values of a repeated numeric field, packed or not."""
    found: list[int] = []
    for value in message.get(field, []):
        position = 0
        while isinstance(value, bytes) and position < len(value):
            one, position = _varint(value, position)
            found.append(one)
        if isinstance(value, int):
            found.append(value)
    return tuple(found)


def inner(message: Message, field: int) -> Message:
    """Returns the message in a field; empty if there is none."""
    value = message.get(field, [b""])[-1]
    if not isinstance(value, bytes):
        raise ImageError(f"field {field} is not a message")
    return parse_message(value)


def string(message: Message, field: int) -> str:
    value = message.get(field, [b""])[-1]
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""


Read = Callable[[int], bytes]


def _exactly(read: Read, size: int) -> bytes:
    data = read(size)
    if len(data) != size:
        raise ImageError("it is cut off")
    return data


def entries_from(read: Read, *magic: int, limit: int = ENTRY_LIMIT) -> Iterator[Message]:
    """Yields the entries of an image that starts with these words; ``read`` returns the next bytes of it.

    Raises:
        ImageError: the image is of a different kind, or damaged, or an entry has more bytes than ``limit``.
    """
    if _exactly(read, 4 * len(magic)) != struct.pack(f"<{len(magic)}I", *magic):
        raise ImageError("its first words are not those of this kind of image")
    while True:
        head = read(4)
        if not head:
            return
        if len(head) < 4:
            raise ImageError("it is cut off")
        (size,) = struct.unpack("<I", head)
        if size > limit:
            raise ImageError(f"an entry claims {size} bytes")
        yield parse_message(_exactly(read, size))


def entries(path: str, *magic: int) -> Iterator[Message]:
    """Yields the entries of the image file that starts with these words, and reads them one by one.

    Raises:
        ImageError: the file is of a different kind, or damaged.
        OSError: it cannot be read.
    """
    with open(path, "rb", opener=without_waiting) as handle:
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("it is not a file")
        if status.st_size > FILE_LIMIT:
            raise ImageError(f"it has {status.st_size} bytes")
        yield from entries_from(handle.read, *magic)


def first_entry(path: str, *magic: int) -> Message:
    """Returns the first entry, and reads nothing after it."""
    for message in entries(path, *magic):
        return message
    raise ImageError("it has no entry")


def entries_if_any(folder: str, name: str, magic: int) -> Iterator[Message]:
    """Yields the entries of an image; none if it is missing, since CRIU makes such an image only if it has an entry."""
    path = os.path.join(folder, name)
    return entries(path, COMMON_MAGIC, magic) if os.path.lexists(path) else iter(())


@dataclass(frozen=True)
class Task:
    """A process in the images, with the ids of its threads. The ids are those in its own pid namespace."""

    pid: int
    threads: tuple[int, ...]


@dataclass(frozen=True)
class Inventory:
    """The version of the images' format, and the LSM whose labels they hold (selinux, apparmor or none).

    ``network_lock``: iptables, nftables or skip. A restore takes the method of the dump, whatever its options say.
    """

    version: int
    lsm: str
    network_lock: str = ""


def read_inventory(folder: str) -> Inventory:
    """Reads inventory.img, which CRIU writes after all other images."""
    return inventory_of(first_entry(os.path.join(folder, "inventory.img"), INVENTORY_MAGIC))


def inventory_of(entry: Message) -> Inventory:
    """Returns what the entry of inventory.img holds. CRIU before 3.16 names no network lock, and means iptables."""
    lsm = {1: "selinux", 2: "apparmor"}.get(number(entry, 6), "none")
    return Inventory(number(entry, 1), lsm, {1: "nftables", 2: "skip"}.get(number(entry, 11), "iptables"))


def read_tasks(folder: str) -> tuple[Task, ...]:
    """Reads pstree.img; the first task is the root. A pre-dump has no such file."""
    found = tuple(
        Task(number(one, 1), numbers(one, 5))
        for one in entries(os.path.join(folder, "pstree.img"), COMMON_MAGIC, PSTREE_MAGIC)
    )
    if not found:
        raise ImageError("it has no process")
    return found


@dataclass(frozen=True)
class CoreThread:
    """The name and the label of a thread, from its core image. ``state``: that of the process, in its first thread.

    ``capabilities`` are those that it has or may take, ``bounding`` those that a program could give it, each as bits.
    """

    comm: str
    label: str
    state: int = 0
    capabilities: int = 0
    bounding: int = 0


def read_core(folder: str, tid: int) -> CoreThread:
    """Reads the name and the label of one thread from core-TID.img."""
    return core_of(first_entry(os.path.join(folder, f"core-{tid}.img"), COMMON_MAGIC, CORE_MAGIC))


def core_of(entry: Message) -> CoreThread:
    """Returns what a core image holds about its thread."""
    thread, task = inner(entry, 5), inner(entry, 3)
    creds = inner(thread, 10)
    able = _bits(creds, 9) | _bits(creds, 10) | _bits(creds, 11)
    name = string(thread, 13) or string(task, 6)
    return CoreThread(name, string(creds, 15), number(task, 1), able, _bits(creds, 12))


def _bits(creds: Message, field: int) -> int:
    """Returns a set of capabilities, which is two words of 32 bits (images/creds.proto)."""
    return sum((word & 0xFFFFFFFF) << 32 * index for index, word in enumerate(numbers(creds, field)[:2]))


DUMP_STATISTICS = {
    "freezing_microseconds": 1,
    "frozen_microseconds": 2,
    "memory_dump_microseconds": 3,
    "memory_write_microseconds": 4,
    "scanned_pages": 5,
    "skipped_pages": 6,
    "written_pages": 7,
}
RESTORE_STATISTICS = {"forking_microseconds": 3, "restore_microseconds": 4, "restored_pages": 5}


def read_statistics(path: str) -> dict[str, Any]:
    """Returns the times and pages in stats-dump or stats-restore; empty if the file is missing or unreadable."""
    try:
        return statistics_of(first_entry(path, SERVICE_MAGIC, STATS_MAGIC))
    except (ImageError, OSError):
        return {}


def statistics_of(entry: Message) -> dict[str, Any]:
    """Returns the times and pages in an entry of stats-dump or stats-restore."""
    field, names = (1, DUMP_STATISTICS) if 1 in entry else (2, RESTORE_STATISTICS)
    found = inner(entry, field)
    return {name: number(found, key) for name, key in names.items()}
