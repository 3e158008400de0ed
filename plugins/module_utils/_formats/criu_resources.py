# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads from CRIU's images what a restore needs beside them: the session, the terminal, and file locks.

The numbers of fields are those of CRIU's images/*.proto, the magic words those of criu/include/magic.h (4.2.1).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    COMMON_MAGIC,
    FILES_MAGIC,
    PSTREE_MAGIC,
    REGULAR,
    entries_if_any,
    first_entry,
    inner,
    number,
    string,
)

IDS_MAGIC = 0x54432030
FDINFO_MAGIC = 0x56213732
TTY_INFO_MAGIC = 0x59453036
FILE_LOCKS_MAGIC = 0x54323616
# tty_info_entry's type of a pseudoterminal.
_PTY = 1
# The device of all masters of pseudoterminals: /dev/ptmx.
_MASTER = (5, 2)
# Kinds of locks (criu/include/file-lock.h), with their names in /proc/locks.
KINDS = {1: "POSIX", 2: "FLOCK", 4: "OFDLCK"}


@dataclass(frozen=True)
class Lock:
    """A lock on a file that the images hold: of the bytes from ``start`` to ``end`` (None: to the end of the file)."""

    kind: str
    path: str
    writes: bool
    start: int
    end: int | None


def is_session_leader(folder: str) -> bool:
    """Returns whether the first process in the images is the leader of its session.

    Raises:
        ImageError, OSError: pstree.img is damaged or cannot be read.
    """
    root = first_entry(os.path.join(folder, "pstree.img"), COMMON_MAGIC, PSTREE_MAGIC)
    return number(root, 4) == number(root, 1)


def has_terminal(folder: str) -> bool:
    """Returns whether a terminal is open whose other end is not in the images.

    Raises:
        ImageError, OSError: tty-info.img is damaged or cannot be read.
    """
    masters: set[int] = set()
    others: set[int] = set()
    for entry in entries_if_any(folder, "tty-info.img", TTY_INFO_MAGIC):
        device = number(entry, 8)
        # A terminal of a different type has no index, and no master.
        index = number(inner(entry, 12), 1) if number(entry, 2) == _PTY else -1
        (masters if (os.major(device), os.minor(device)) == _MASTER else others).add(index)
    return bool(others - masters)


def _path_of(folder: str, pid: int, descriptor: int) -> str:
    """Returns the path of the regular file that a process has open as ``descriptor``; empty if it is not known."""
    for ids in entries_if_any(folder, f"ids-{pid}.img", IDS_MAGIC):
        for one in entries_if_any(folder, f"fdinfo-{number(ids, 2)}.img", FDINFO_MAGIC):
            if number(one, 4) != descriptor or number(one, 3) != REGULAR:
                continue
            for entry in entries_if_any(folder, "files.img", FILES_MAGIC):
                if (number(entry, 1), number(entry, 2)) == (REGULAR, number(one, 1)):
                    return string(inner(entry, 3), 6)
    return ""


def has_locks(folder: str) -> bool:
    """Returns whether the images hold file locks.

    Raises:
        ImageError, OSError: filelocks.img is damaged or cannot be read.
    """
    return any(True for dummy in entries_if_any(folder, "filelocks.img", FILE_LOCKS_MAGIC))


def read_locks(folder: str) -> tuple[Lock, ...]:
    """Returns the locks in the images for which a restore waits; not leases, and not those of files without a path.

    Raises:
        ImageError, OSError: one of the images is damaged or cannot be read.
    """
    found = []
    for entry in entries_if_any(folder, "filelocks.img", FILE_LOCKS_MAGIC):
        kind = KINDS.get(number(entry, 1), "")
        path = _path_of(folder, number(entry, 3), number(entry, 4)) if kind else ""
        start, length = number(entry, 5), number(entry, 6)
        if path:
            # F_WRLCK is 1, and F_RDLCK is 0.
            found.append(Lock(kind, path, number(entry, 2) == 1, start, start + length - 1 if length else None))
    return tuple(found)
