# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Calculates a checksum of a copy of a volume, so that a damaged copy never replaces the volume."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

_CHUNK = 1 << 20


def _entries(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yields all paths below a folder, in an order that depends on their names only. Follows no link."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        status = os.lstat(path)
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            waiting.extend(os.path.join(path, name) for name in sorted(os.listdir(path), key=os.fsencode))


def _add_content(path: str, status: os.stat_result, total: Any) -> None:
    """Adds the content of a regular file or the target of a link; other kinds have none."""
    if stat.S_ISLNK(status.st_mode):
        total.update(os.fsencode(os.readlink(path)))
    if not stat.S_ISREG(status.st_mode):
        return
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as handle:
        for data in iter(lambda: handle.read(_CHUNK), b""):
            total.update(data)


def copy_sum(folder: str) -> str:
    """Returns the SHA-256 of the names, kinds, modes, owners, times, sizes and contents of all that a copy holds.

    The copy must be out of reach of everybody but its owner.

    Raises:
        CheckpointError: reason copy_unreadable.
    """
    total = hashlib.sha256()
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        for path, status in _entries(folder):
            facts = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_mtime_ns)
            # The size of a folder depends on the file system. Each field ends, so no two trees give the same bytes.
            size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            name = os.fsencode(os.path.relpath(path, folder))
            total.update(b"%d %d %s\0" % (len(name), size, " ".join(map(str, facts)).encode()) + name)
            _add_content(path, status, total)
    except OSError as error:
        raise CheckpointError(
            f"Cannot read the copy {folder!r}: {error.strerror} ({error.filename!r}). Nothing was restored from it.",
            reason="copy_unreadable",
        ) from error
    return total.hexdigest()
