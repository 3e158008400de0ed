# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses paths where other users could read or replace a checkpoint."""

from __future__ import annotations

import os
import stat

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError


def _unsafe(path: str, why: str, advice: str) -> CheckpointError:
    return CheckpointError(
        f"Refuse to use the archive {path!r}: {why}. {advice}", reason="archive_path_unsafe", path=path
    )


def check_path(path: str) -> None:
    """Refuse a path where others could read memory out of the archive, or put another archive in its place."""
    if not os.path.isabs(path) or os.path.basename(path) in ("", ".", ".."):
        raise _unsafe(path, "the path is not the absolute path of a file", "Give one in archive_path.")
    folder = os.path.dirname(path)
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unsafe(path, f"{folder!r} cannot be used: {error.strerror}", "Give another archive_path.") from error
    if not stat.S_ISDIR(status.st_mode):
        raise _unsafe(path, f"{folder!r} is not a folder", "Give another archive_path.")
    if _others_write(status):
        raise _unsafe(path, f"others than root may write to the folder {folder!r}", "Use a folder of root, mode 0700.")
    if os.path.lexists(path):
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise _unsafe(path, "it is not a regular file", "Give another archive_path.")
        if _others_write(status):
            raise _unsafe(path, "others than root may write to it", "Make it anew; its mode is 0600 then.")


def _others_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & 0o022) or status.st_uid not in (0, os.geteuid())


def unsafe(path: str, why: str, advice: str) -> CheckpointError:
    return CheckpointError(
        f"Refuse to use the images folder {path!r}: {why}. {advice}", reason="images_path_unsafe", path=path
    )


def check_images_path(path: str) -> None:
    """Refuse a path where others could read memory out of the images, or put others in their place."""
    if not os.path.isabs(path) or os.path.normpath(path) != path or os.path.dirname(path) == path:
        raise unsafe(path, "the path is not the absolute path of a folder of its own", "Give one, without '..'.")
    for folder, what in ((os.path.dirname(path), "the folder above it"), (path, "it")):
        if not os.path.lexists(folder):
            continue
        status = os.lstat(folder) if folder == path else os.stat(folder)
        if not stat.S_ISDIR(status.st_mode):
            raise unsafe(path, f"{what} is not a folder", "Give another path.")
        if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
            raise unsafe(path, f"others may write to {what}", "Use a folder of your own, mode 0700.")
