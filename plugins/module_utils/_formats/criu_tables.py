# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads CRIU's images one after the other, as they come out of an archive, into small tables.

The numbers of fields are those of CRIU's images/*.proto, the magic words those of criu/include/magic.h (4.2.1).
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_files import INTERNET
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    COMMON_MAGIC,
    CORE_MAGIC,
    FILE_LIMIT,
    FILES_MAGIC,
    INVENTORY_MAGIC,
    PSTREE_MAGIC,
    REGULAR,
    SERVICE_MAGIC,
    STATS_MAGIC,
    CoreThread,
    ImageError,
    Message,
    Read,
    core_of,
    entries_from,
    inner,
    number,
    numbers,
    statistics_of,
    string,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_memory import (
    Memory,
    read_memory,
    read_pagemap,
    read_pages,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_resources import (
    FDINFO_MAGIC,
    FILE_LOCKS_MAGIC,
    IDS_MAGIC,
)

FS_MAGIC = 0x51403912
# What the small images of one archive may have together, and how many entries are kept.
IMAGES_LIMIT = 32 << 20
ENTRIES = 1 << 17
# All command lines and environments together.
TEXTS_LIMIT = 32 << 20
# images/fdinfo.proto
PIPE, UNIX, PACKET, NETLINK = 2, 5, 10, 13
FILE_KINDS = (
    *("UND", "REG", "PIPE", "FIFO", "INETSK", "UNIXSK", "EVENTFD", "EVENTPOLL", "INOTIFY", "SIGNALFD", "PACKETSK"),
    *("TTY", "FANOTIFY", "NETLINKSK", "NS", "TUNF", "EXT", "TIMERFD", "MEMFD", "BPFMAP", "PIDFD"),
)
# The fields with the options of each kind of socket.
_OPTIONS = {INTERNET: (4, 14), UNIX: (16, 10), PACKET: (6, 11), NETLINK: (7, 12)}


@dataclass(frozen=True)
class Process:
    """A process in pstree.img. The ids are those in its own pid namespace."""

    pid: int
    parent: int
    threads: tuple[int, ...]


@dataclass(frozen=True)
class OpenFile:
    """An open file or socket in files.img. ``name``: a path, or what crit shows instead of one."""

    kind: int
    name: str
    socket: dict[str, Any] | None = None


@dataclass
class Tables:
    """What the images of an archive hold. ``wanted``: the kinds of details that are read."""

    wanted: frozenset[str]
    lsm: str = "none"
    left: int = IMAGES_LIMIT
    maps_left: int = FILE_LIMIT
    texts_left: int = TEXTS_LIMIT
    entries: int = ENTRIES
    processes: list[Process] = field(default_factory=list)
    cores: dict[int, CoreThread] = field(default_factory=dict)
    file_ids: dict[int, int] = field(default_factory=dict)
    open: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    files: dict[int, OpenFile] = field(default_factory=dict)
    folders: dict[int, tuple[int, int]] = field(default_factory=dict)
    locks: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    memory: dict[int, Memory] = field(default_factory=dict)
    by_pages: dict[int, Memory] = field(default_factory=dict)
    statistics: dict[str, int] | None = None
    shared_pages: int = 0

    def room(self, size: int) -> bool:
        """Returns whether that many bytes of command lines and environments may still be kept."""
        self.texts_left -= size
        return self.texts_left >= 0

    def keep(self, count: int = 1) -> None:
        """Counts entries.

        Raises:
            ImageError: there are too many.
        """
        self.entries -= count
        if self.entries < 0:
            raise ImageError(f"the images have more than {ENTRIES} entries")


def address_of(words: tuple[int, ...]) -> str:
    """Returns the text of an IPv4 or IPv6 address; empty if it is none."""
    data = b"".join(struct.pack("<I", one & 0xFFFFFFFF) for one in words)
    if len(words) not in (1, 4):
        return ""
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, data)


def _socket(kind: int, entry: Message) -> dict[str, Any]:
    place, options = _OPTIONS[kind]
    one = inner(entry, place)
    buffers = inner(one, options)
    found: dict[str, Any] = {"send_buf": number(buffers, 1), "recv_buf": number(buffers, 2)}
    if kind == INTERNET:
        found.update(protocol=number(one, 5), type=number(one, 4), state=number(one, 6))
        found.update(src=address_of(numbers(one, 11)), src_port=number(one, 7))
        found.update(dst=address_of(numbers(one, 12)), dst_port=number(one, 8))
    elif kind == UNIX:
        found.update(type=number(one, 3), state=number(one, 4), address=_unix_name(one))
    return found


def _unix_name(one: Message) -> str:
    """Returns the path of a Unix socket without the zero after it, or an abstract name with the zero before it."""
    name = string(one, 11)
    return name if name.startswith("\0") else name.rstrip("\0")


def _open_file(entry: Message) -> OpenFile:
    kind, identity = number(entry, 1), number(entry, 2)
    if kind == REGULAR:
        return OpenFile(kind, string(inner(entry, 3), 6))
    if kind == PIPE:
        return OpenFile(kind, f"pipe[{number(inner(entry, 18), 2)}]")
    name = f"{kind_name(kind)}.{identity}"
    if kind == UNIX:
        one = inner(entry, 16)
        name = f"unix[{number(one, 2)} ({number(one, 8)}) {_unix_name(one)}]"
    return OpenFile(kind, name, _socket(kind, entry) if kind in _OPTIONS else None)


def kind_name(kind: int) -> str:
    """Returns the name of a kind of file in CRIU's words."""
    return FILE_KINDS[kind] if kind < len(FILE_KINDS) else str(kind)


def _add_processes(tables: Tables, dummy: int, read: Read) -> None:
    for one in entries_from(read, COMMON_MAGIC, PSTREE_MAGIC):
        threads = numbers(one, 5)
        tables.keep(1 + len(threads))
        tables.processes.append(Process(number(one, 1), number(one, 2), threads))


def _add_core(tables: Tables, tid: int, read: Read) -> None:
    for one in entries_from(read, COMMON_MAGIC, CORE_MAGIC):
        tables.keep()
        tables.cores[tid] = core_of(one)
        return


def _add_ids(tables: Tables, pid: int, read: Read) -> None:
    for one in entries_from(read, COMMON_MAGIC, IDS_MAGIC):
        tables.keep()
        tables.file_ids[pid] = number(one, 2)
        return


def _add_open(tables: Tables, identity: int, read: Read) -> None:
    found = tables.open.setdefault(identity, [])
    for one in entries_from(read, COMMON_MAGIC, FDINFO_MAGIC):
        tables.keep()
        found.append((number(one, 4), number(one, 3), number(one, 1)))


def _add_files(tables: Tables, dummy: int, read: Read) -> None:
    for one in entries_from(read, COMMON_MAGIC, FILES_MAGIC):
        tables.keep()
        tables.files[number(one, 2)] = _open_file(one)


def _add_folders(tables: Tables, pid: int, read: Read) -> None:
    for one in entries_from(read, COMMON_MAGIC, FS_MAGIC):
        tables.keep()
        tables.folders[pid] = (number(one, 1), number(one, 2))
        return


def _add_locks(tables: Tables, dummy: int, read: Read) -> None:
    for one in entries_from(read, COMMON_MAGIC, FILE_LOCKS_MAGIC):
        tables.keep()
        flag, kind, pid, fd, start, length = (number(one, key) for key in range(1, 7))
        tables.locks.append((flag, kind, pid, fd, start, length))


def _add_memory(tables: Tables, pid: int, read: Read) -> None:
    tables.keep()
    tables.memory[pid] = read_memory(read, areas="memory" in tables.wanted)


def _add_pagemap(tables: Tables, pid: int, read: Read) -> None:
    memory = tables.memory.get(pid)
    if memory is not None:
        read_pagemap(read, memory, tables.room)
        tables.by_pages[memory.pages_id] = memory


def _add_shared(tables: Tables, dummy: int, read: Read) -> None:
    tables.shared_pages += read_pagemap(read, None, tables.room)


def _add_inventory(tables: Tables, dummy: int, read: Read) -> None:
    for one in entries_from(read, INVENTORY_MAGIC):
        tables.lsm = {1: "selinux", 2: "apparmor"}.get(number(one, 6), "none")
        return
    raise ImageError("it has no entry")


def _add_statistics(tables: Tables, dummy: int, read: Read) -> None:
    for one in entries_from(read, SERVICE_MAGIC, STATS_MAGIC):
        tables.statistics = statistics_of(one)
        return


_MAPS = frozenset(("processes", "environment", "memory"))
_FILES = frozenset(("files", "sockets"))
_ALWAYS: frozenset[str] = frozenset()
# An image, how it is read, and the details that need it; always if there are none.
_READERS: tuple[tuple[str, Callable[[Tables, int, Read], None], frozenset[str]], ...] = (
    (r"inventory\.img", _add_inventory, _ALWAYS),
    (r"pstree\.img", _add_processes, _ALWAYS),
    (r"core-([0-9]{1,10})\.img", _add_core, _ALWAYS),
    (r"ids-([0-9]{1,10})\.img", _add_ids, _FILES),
    (r"fdinfo-([0-9]{1,10})\.img", _add_open, _FILES),
    (r"files\.img", _add_files, _FILES),
    (r"fs-([0-9]{1,10})\.img", _add_folders, _FILES),
    (r"filelocks\.img", _add_locks, _ALWAYS),
    (r"mm-([0-9]{1,10})\.img", _add_memory, _MAPS),
    (r"pagemap-([0-9]{1,10})\.img", _add_pagemap, _MAPS),
    (r"pagemap-shmem-([0-9]{1,20})\.img", _add_shared, frozenset(("memory",))),
    (r"stats-dump", _add_statistics, frozenset(("statistics",))),
)
# A pagemap is not kept, and has an entry for each piece of memory.
_STREAMED = (_add_pagemap, _add_shared)


def read_image(tables: Tables, name: str, size: int, read: Read) -> None:
    """Reads an image into the tables if it is one that is needed; ``read`` returns its next bytes.

    Raises:
        ImageError: it is damaged, or the images have more than is kept.
    """
    for pattern, add, needs in _READERS:
        found = re.fullmatch(pattern, name, re.ASCII)
        if found is None or (needs and not needs & tables.wanted):
            continue
        if add in _STREAMED:
            tables.maps_left -= size
        else:
            tables.left -= size
        if tables.left < 0 or tables.maps_left < 0:
            raise ImageError(f"the images have more than {IMAGES_LIMIT} bytes, without memory")
        add(tables, int(found.group(1)) if found.groups() else 0, read)


def read_texts(tables: Tables, name: str, size: int, skip: Callable[[int], None], part: Read) -> None:
    """Reads the command line and the environment that are in pages-N.img, and skips the rest."""
    found = re.fullmatch(r"pages-([0-9]{1,10})\.img", name, re.ASCII)
    memory = tables.by_pages.get(int(found.group(1))) if found is not None else None
    if memory is not None:
        read_pages(size, memory, skip, part)
