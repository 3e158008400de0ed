# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads from CRIU's images the files that a restore opens by their names, and the ports on which it listens.

The numbers of fields are those of CRIU's images/*.proto, the magic words those of criu/include/magic.h (4.2).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    COMMON_MAGIC,
    Message,
    entries,
    inner,
    number,
    numbers,
    string,
)

FILES_MAGIC = 0x56303138
REMAP_MAGIC = 0x59133954
# fd_types in images/fdinfo.proto.
REGULAR, INTERNET = 1, 4
TCP, LISTENS = 6, 10
# An image of more files than that is not looked at to its end.
LIMIT = 65536


@dataclass(frozen=True)
class SavedFile:
    """A file of the host that the images name. ``size``: None if a restore accepts any."""

    name: str
    mode: int
    size: int | None


@dataclass(frozen=True)
class Listener:
    """A TCP socket that listens. ``address`` has the bytes of an IPv4 or IPv6 address."""

    address: bytes
    port: int
    only_six: bool


def _entries(folder: str, name: str, magic: int) -> Iterator[Message]:
    """Yields the entries of an image; none if it is missing, since CRIU makes it only if it has an entry."""
    path = os.path.join(folder, name)
    for count, entry in enumerate(entries(path, COMMON_MAGIC, magic) if os.path.lexists(path) else ()):
        if count >= LIMIT:
            return
        yield entry


def _of_kind(folder: str, kind: int, field: int) -> Iterator[Message]:
    for entry in _entries(folder, "files.img", FILES_MAGIC):
        if number(entry, 1) == kind:
            yield inner(entry, field)


def read_saved_files(folder: str) -> tuple[SavedFile, ...]:
    """Returns the files that a restore opens by their names in the host's own mount namespace.

    Left out are external files, deleted ones, which the images hold, and those of a mount namespace in the images.

    Raises:
        ImageError, OSError: an image is damaged or cannot be read.
    """
    held = {number(entry, 1) for entry in _entries(folder, "remap-fpath.img", REMAP_MAGIC)}
    found = []
    for entry in _of_kind(folder, REGULAR, 3):
        name = string(entry, 6)
        # A file without a mode is from a CRIU that does not compare it; a mount is named only if it is in the images.
        if number(entry, 1) in held or number(entry, 9) or 10 not in entry or 7 in entry or not name.startswith("/"):
            continue
        found.append(SavedFile(name, number(entry, 10), number(entry, 8) if 8 in entry else None))
    return tuple(found)


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
