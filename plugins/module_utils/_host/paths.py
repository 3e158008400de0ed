# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads small files."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO, Collection

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths, without_waiting

# No small file has nearly this size. A larger one is something else, and must not fill the host's memory.
SIZE_LIMIT = 64 << 20
# A masked unit is a link to it.
_NULL = os.makedev(1, 3)
# The kernel makes room for as many bytes as one read asks for: below /proc/sys, 4 MiB are ENOMEM.
_PIECE = 64 << 10


def _read(handle: BinaryIO, size: int) -> bytes:
    """Returns the next ``size`` bytes of a file, or fewer if it ends before."""
    pieces: list[bytes] = []
    while size > 0:
        piece = handle.read(min(size, _PIECE))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def read_bytes(path: str, *, limit: int = SIZE_LIMIT) -> bytes | None:
    """Returns the content of a small file; None if it is absent, or disappeared while it was read (as in /proc).

    Never waits for a pipe or a terminal. The kernel's files have no size, and need no ``limit``.

    Raises:
        OSError: it is not a file (EINVAL, EISDIR), it has more bytes than ``limit`` (EFBIG), or it cannot be read.
    """
    try:
        with open(path, "rb", opener=without_waiting) as handle:
            status = os.fstat(handle.fileno())
            if not stat.S_ISREG(status.st_mode) and status.st_rdev != _NULL:
                raise OSError(errno.EINVAL, "not a file", path)
            # A file that grows meanwhile is not read for ever either.
            most = limit if status.st_size else max(limit, SIZE_LIMIT)
            data = _read(handle, most + 1)
            if status.st_size > limit or len(data) > most:
                raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
            return data
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return None


def _descend(folder: str, parts: list[str]) -> int:
    """Finds the file ``parts`` below ``folder``, one after the other, and follows no link; returns where it is.

    O_PATH does not open the file itself: opening a device may already do something, and a pipe waits.
    """
    flags = os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY
    descriptor = os.open(folder, flags)
    for index, part in enumerate(parts):
        kind = flags & ~os.O_DIRECTORY if index == len(parts) - 1 else flags
        try:
            below = os.open(part, kind | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _parts(name: str) -> list[str]:
    """Returns the folders and the file that ``name`` consists of; empty if it is no name of a file below a folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    try:
        wrong = ".." in parts or b"\0" in os.fsencode(name)
    except UnicodeEncodeError:  # half of a character, which JSON can hold
        wrong = True
    return [] if wrong else parts


def read_below(folder: str, name: str, *, limit: int, owners: Collection[int] | None = None) -> bytes | None:
    """Returns the content of the regular file ``name`` below ``folder``; None if it is absent. For what others write.

    Those who may write below ``folder`` (a container, a user) choose neither which file of the host is read, since no
    link is followed, nor how long it takes or how much memory: no pipe or device is opened, and nothing larger than
    ``limit`` bytes is read, even if the file grows meanwhile. ``folder`` itself is the caller's.
    ``owners``: the ids of users whose file it may be; None accepts each.

    Raises:
        OSError: ELOOP or ENOTDIR (a link on the way), EINVAL (no regular file), EFBIG (too large), EPERM (a different
            owner), or it cannot be read.
    """
    parts = _parts(name)
    path = os.path.join(folder, name)
    if not parts:
        raise OSError(errno.EINVAL, "not the name of a file below the folder", path)
    try:
        place = _descend(folder, parts)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(place)
        if stat.S_ISLNK(status.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if owners is not None and status.st_uid not in owners:
            raise OSError(errno.EPERM, f"it belongs to the user with the id {status.st_uid}", path)
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        # This name of the descriptor leads to the very file that was just looked at.
        with open(f"/proc/self/fd/{place}", "rb", opener=without_waiting) as handle:
            data = _read(handle, limit + 1)
    finally:
        os.close(place)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
    return data


def read_end(path: str, *, limit: int) -> bytes | None:
    """Returns the last ``limit`` bytes of a file, such as a log, from the beginning of a line; None if it is absent.

    Raises:
        OSError: it is not a regular file (EINVAL, EISDIR), or it cannot be read.
    """
    try:
        with open(path, "rb", opener=without_waiting) as handle:
            status = os.fstat(handle.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            handle.seek(max(status.st_size - limit, 0))
            data = handle.read(limit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return data if status.st_size <= limit else data[data.find(b"\n") + 1 :]


def read_text(path: str, *, limit: int = SIZE_LIMIT, may_fail: bool = False) -> str | None:
    """Returns the content of a small file as text, which keeps bytes that are not UTF-8; None as ``read_bytes`` does.

    With ``may_fail``, it also returns None where ``read_bytes`` raises, for values that a task reports if it can.
    """
    try:
        data = read_bytes(path, limit=limit)
    except OSError:
        if not may_fail:
            raise
        return None
    return None if data is None else data.decode("utf-8", "surrogateescape")


def read_attribute(path: str) -> str | None:
    """Returns a file of /proc/PID/attr as ``read_text`` does; empty if the kernel's LSM has no such attribute (EINVAL).

    Raises:
        OSError: as ``read_bytes``, but for EINVAL.
    """
    try:
        return read_text(path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return ""


def read_xattr(path: str, name: str) -> str:
    """Returns an extended attribute as text; empty if it is absent or may not be read."""
    try:
        return os.getxattr(path, name).rstrip(b"\0").decode("utf-8", "replace")
    except OSError:
        return ""


def demand_text(path: str) -> str:
    """Returns the content of a small file that must exist.

    Raises:
        OSError: as ``read_bytes``, and if it is absent.
    """
    text = read_text(path)
    if text is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return text


def in_user_namespace(paths: Paths) -> bool:
    """Returns whether root is in a user namespace (podman unshare, rootless container); Podman is rootless then."""
    text = read_text(f"{paths.proc}/self/uid_map")
    return text is not None and text.split() != ["0", "0", "4294967295"]
