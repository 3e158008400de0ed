# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Unpacks archives of other origin; few tasks need it, so it is not in _core/apply.py."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import tarfile
import zlib

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.files import FOLDER_MODE, make_dir
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Unpack


def unpack(step: Unpack) -> None:
    """Unpacks a tar archive into a new folder: only files, folders and links that stay inside it."""
    if os.path.lexists(step.path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    make_dir(step.path, FOLDER_MODE)
    root = os.path.realpath(step.path)
    try:
        with tarfile.open(step.archive) as archive:
            for member in archive:
                name = safe_member(member, step.strip, step.outside)
                if name:
                    _unpack_member(archive, member, os.path.join(root, name))
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
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


def refused_member(name: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot unpack {name!r}: it is {why}. Get the archive from a source that you trust.",
        reason="unpack_failed",
    )


def safe_member(member: tarfile.TarInfo, strip: int, outside: tuple[tuple[str, str], ...] = ()) -> str:
    """Returns the path of ``member`` below the target without ``strip`` leading folders; empty if nothing is left.

    ``outside`` are the links that may lead out, by name and exact target.

    Raises:
        CheckpointError: the member would leave the target folder, or is neither a file, a folder nor a symbolic link.
    """
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/"):
        raise refused_member(member.name, "an absolute name")
    if ".." in parts:
        raise refused_member(member.name, "a name with '..'")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise refused_member(member.name, "neither a file, a folder nor a symbolic link")
    if member.issym() and ("/".join(parts[strip:]), member.linkname) not in outside:
        target = os.path.normpath(os.path.join("/".join(parts[strip:-1]), member.linkname))
        if target.startswith("/") or target.split("/")[0] == "..":
            raise refused_member(member.name, f"a link to {member.linkname!r}")
    return "/".join(parts[strip:])


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    folder = os.path.dirname(path)
    make_dir(folder, FOLDER_MODE)
    if os.path.realpath(folder) != folder:
        raise refused_member(member.name, "below a link")
    if member.isdir():
        make_dir(path, FOLDER_MODE)
    elif member.issym():
        os.symlink(member.linkname, path)
    else:
        source = archive.extractfile(member)
        if source is None:
            raise tarfile.TarError(f"{member.name!r} has no content")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with source, os.fdopen(os.open(path, flags, 0o600), "wb") as target:
            shutil.copyfileobj(source, target)
        os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)
        os.utime(path, (member.mtime, member.mtime))  # make compares the times of source files
