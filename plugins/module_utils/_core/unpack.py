# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Unpacks archives of other origin; few tasks need it, so it is not in _core/apply.py."""

from __future__ import annotations

import errno
import os

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.files import FOLDER_MODE, make_dir
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import without_waiting
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Unpack
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import StreamError
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import SIZE_LIMIT, Member, Tar, open_tar

# Python removes a folder by recursion.
DEPTH_LIMIT = 64
# What names and links of an archive can cause, while the folder itself is new and ours.
_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


def unpack(step: Unpack) -> None:
    """Unpacks a tar archive into a new folder: only files, folders and links that stay inside it.

    Raises:
        CheckpointError: unpack_failed, disk_full.
        OSError: the archive cannot be opened, or the folder cannot be written.
    """
    if os.path.lexists(step.path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    make_dir(step.path, FOLDER_MODE)
    root = os.path.realpath(step.path)
    room = Room(step, root)
    try:
        with open(step.archive, "rb", opener=without_waiting) as handle:
            archive = open_tar(handle)
            for member in archive:
                name = safe_member(member, step.strip, step.outside)
                room.take(member.size)
                if name:
                    _unpack_member(archive, member, root, name)
    except (StreamError, UnicodeError) as error:
        raise CheckpointError(
            f"Cannot {step.why or 'unpack'} {step.archive!r}: {error}. Get the archive again.",
            reason="unpack_failed",
            path=step.archive,
        ) from error
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            # Each link alone looked harmless; together they may still lead out.
            path = os.path.join(folder, name)
            if f"{os.path.realpath(path)}/".startswith(f"{root}/") or os.path.relpath(path, root) in dict(step.outside):
                continue
            raise refused_member(path, "a link that leads out of the folder")


class Room:
    """How much an archive may still unpack: no more than any archive of ours has, and than the file system has room."""

    def __init__(self, step: Unpack, root: str) -> None:
        self._step = step
        status = os.statvfs(root)
        self._free = status.f_bavail * status.f_frsize
        self._total = 0

    def take(self, size: int) -> None:
        """Counts a member of ``size`` bytes.

        Raises:
            CheckpointError: unpack_failed, disk_full.
        """
        self._total += size
        what = f"Cannot {self._step.why or 'unpack'} {self._step.archive!r}: its members have {self._total} bytes"
        if self._total > SIZE_LIMIT:
            raise CheckpointError(
                f"{what} or more, and no archive of CRIU has more than {SIZE_LIMIT}. Get it from a source that you "
                "trust.",
                reason="unpack_failed",
                path=self._step.archive,
            )
        if self._total > self._free:
            raise CheckpointError(
                f"{what} or more, and {self._free} are free at {self._step.path!r}. Free space on that file system.",
                reason="disk_full",
                path=self._step.path,
            )


def refused_member(name: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot unpack {name!r}: it is {why}. Get the archive from a source that you trust.",
        reason="unpack_failed",
    )


def safe_member(member: Member, strip: int, outside: tuple[tuple[str, str], ...] = ()) -> str:
    """Returns the path of ``member`` below the target without ``strip`` leading folders; empty if nothing is left.

    ``outside`` are the links that may lead out, by name and exact target.

    Raises:
        CheckpointError: the member would leave the target folder, or is neither a file, a folder nor a symbolic link.
    """
    parts = member.parts
    if member.name.startswith("/"):
        raise refused_member(member.name, "an absolute name")
    if ".." in parts:
        raise refused_member(member.name, "a name with '..'")
    if len(parts) > DEPTH_LIMIT:
        raise refused_member(member.name[:100], f"a name with more than {DEPTH_LIMIT} folders")
    if member.kind not in ("file", "dir", "link"):
        raise refused_member(member.name, "neither a file, a folder nor a symbolic link")
    if member.kind == "link" and ("/".join(parts[strip:]), member.target) not in outside:
        target = os.path.normpath(os.path.join("/".join(parts[strip:-1]), member.target))
        if target.startswith("/") or target.split("/")[0] == "..":
            raise refused_member(member.name, f"a link to {member.target!r}")
    return "/".join(parts[strip:])


def _unpack_member(archive: Tar, member: Member, root: str, name: str) -> None:
    path = os.path.join(root, name)
    folder = os.path.dirname(path)
    if os.path.realpath(folder) != folder:
        raise refused_member(member.name, "below a link")
    try:
        make_dir(folder, FOLDER_MODE)
        if member.kind == "dir":
            make_dir(path, FOLDER_MODE)
        elif member.kind == "link":
            os.symlink(member.target, path)
        else:
            _write(archive, member, path)
    except OSError as error:
        if error.errno not in _NAMES:
            raise
        raise refused_member(member.name, f"not possible to make it ({error.strerror})") from error


def _write(archive: Tar, member: Member, path: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as target:
        for piece in archive.pieces():
            target.write(piece)
    os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)
    os.utime(path, (member.mtime, member.mtime))  # make compares the times of source files
