# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Writes, renames and removes files so that a crash leaves either the old or the new one."""

from __future__ import annotations

import os
import shutil

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import temporary_path

# What an unpacked folder gets, whatever the umask.
FOLDER_MODE = 0o755


def make_dir(path: str, mode: int) -> None:
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)  # closed to others until it has its mode
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
            continue  # another task has made it meanwhile, as units do that start together
        _chmod(folder, mode, os.O_DIRECTORY)


def _chmod(path: str, mode: int, flags: int = 0) -> None:
    """Changes the mode of what is at the path itself: a link that somebody put there meanwhile is not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def fsync_dir(path: str) -> None:
    """Makes a rename in the folder ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: str) -> int:
    """Opens a new file for writing, for nobody else; what is at the path is of a task that was killed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o600)


def make_pipe(path: str) -> None:
    remove_path(path)
    os.mkfifo(path, 0o600)


def write_file(path: str, content: str | bytes, mode: int) -> None:
    """Replaces ``path`` atomically: temporary name, fsync, rename, fsync of the folder.

    The temporary name is always the same, so that a kill leaves one at most, which the next call replaces.
    """
    folder = os.path.dirname(path)
    temporary = temporary_path(path)
    try:
        with os.fdopen(_create(temporary), "wb") as handle:
            handle.write(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
            handle.flush()
            os.fchmod(handle.fileno(), mode)
            os.fsync(handle.fileno())
        os.rename(temporary, path)
    except BaseException:
        remove_path(temporary)
        raise
    fsync_dir(folder)


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_path(path: str) -> None:
    """Removes a file, link or folder tree; a missing one is no error."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
