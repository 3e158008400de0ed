# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads from CRIU's images the files that a restore opens by their names, and the ports on which it listens.

The numbers of fields are those of CRIU's images/*.proto, the magic words those of criu/include/magic.h (4.2).
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from itertools import islice
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    COMMON_MAGIC,
    FILES_MAGIC,
    REGULAR,
    Message,
    entries,
    entries_if_any,
    inner,
    number,
    numbers,
    string,
)

REMAP_MAGIC = 0x59133954
# A kind in images/fdinfo.proto.
INTERNET = 4
TCP, LISTENS = 6, 10
# An image of a process with more files than that is not looked at to its end.
LIMIT = 65536


@dataclass(frozen=True)
class SavedFile:
    """A file that the images name. ``size``: None if a restore accepts any.

    ``mount``: the mount that it is on, if its mount namespace is in the images.
    """

    name: str
    mode: int
    size: int | None
    mount: int | None = None


@dataclass(frozen=True)
class Listener:
    """A TCP socket that listens. ``address`` has the bytes of an IPv4 or IPv6 address."""

    address: bytes
    port: int
    only_six: bool


def _of_kind(folder: str, kind: int, field: int, limit: int | None = LIMIT) -> Iterator[Message]:
    # The root of each process is in this file, so every dump has one.
    for entry in islice(entries(os.path.join(folder, "files.img"), COMMON_MAGIC, FILES_MAGIC), limit):
        if number(entry, 1) == kind:
            yield inner(entry, field)


def _saved(folder: str, limit: int | None) -> Iterator[SavedFile]:
    """Yields the files whose content is not in the images; not external ones."""
    held = {number(entry, 1) for entry in entries_if_any(folder, "remap-fpath.img", REMAP_MAGIC)}
    for entry in _of_kind(folder, REGULAR, 3, limit):
        # A file without a mode is from a CRIU that does not compare it.
        if number(entry, 1) not in held and not number(entry, 9) and 10 in entry:
            size, mount = (number(entry, field) if field in entry else None for field in (8, 7))
            yield SavedFile(string(entry, 6), number(entry, 10), size, mount)


def read_saved_files(folder: str) -> tuple[SavedFile, ...]:
    """Returns the files that a restore opens by their names in the host's own mount namespace.

    Left out are external files, deleted ones, which the images hold, and those of a mount namespace in the images.

    Raises:
        ImageError, OSError: an image is damaged or cannot be read.
    """
    return tuple(one for one in _saved(folder, LIMIT) if one.mount is None and one.name.startswith("/"))


def read_contained_files(folder: str) -> tuple[SavedFile, ...]:
    """Returns the regular files on the root mount of a container that a restore opens with exactly their size.

    The root of a process is in the images, too, which shows the mount.

    Raises:
        ImageError, OSError: an image is damaged or cannot be read.
    """
    found = tuple(_saved(folder, None))
    roots = {one.mount for one in found if one.name == "/" and stat.S_ISDIR(one.mode)}
    return tuple(one for one in found if one.mount in roots and one.size is not None and stat.S_ISREG(one.mode))


def read_listeners(folder: str) -> tuple[Listener, ...]:
    """Returns the TCP ports on which a restore listens in the host's own network; none if a network is in the images.

    Raises:
        ImageError, OSError: an image is damaged or cannot be read.
    """
    if any(name.startswith(("netns-", "netdev-")) for name in os.listdir(folder)):
        return ()
    found = []
    for entry in _of_kind(folder, INTERNET, 4):
        words = numbers(entry, 11)
        if number(entry, 5) != TCP or number(entry, 6) != LISTENS or len(words) not in (1, 4):
            continue
        address = b"".join(struct.pack("=I", one & 0xFFFFFFFF) for one in words)
        found.append(Listener(address, number(entry, 7) & 0xFFFF, bool(number(entry, 15))))
    return tuple(found)
