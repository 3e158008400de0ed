# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Judges whether users other than root and the caller can change what a path leads to."""

from __future__ import annotations

import os
import stat

# As the kernel: a chain of more links is an error.
LINK_LIMIT = 40


def trusted_ids() -> tuple[int, int]:
    """Returns the ids of the users whose files this task believes: root, and the caller."""
    return 0, os.geteuid()


def others_write(status: os.stat_result) -> bool:
    """Returns whether other users may write to the file or folder; with a POSIX ACL, the group's bits are its mask."""
    return bool(status.st_mode & 0o022) or status.st_uid not in trusted_ids()


def find_fault(path: str) -> str:
    """Returns why others could make the absolute ``path`` lead to something of theirs; empty if they cannot.

    Every folder on the way belongs to root or the caller, and only they may write to it. In a folder that all may write
    to, such as /tmp, the next name has to be there already and to be theirs: its sticky bit then keeps it. A link is
    followed by the same rules, from the folder that holds it. What is not there yet is no fault: only they can make it.
    """
    try:
        return _walk(path)
    except OSError as error:
        return f"{error.filename or path!r} cannot be used: {error.strerror}"
    except ValueError:
        return "it has a character that no path can have"


def _walk(path: str) -> str:
    folder, waiting, links = "/", path.split("/")[::-1], 0
    fault = _folder_fault(folder, os.lstat(folder))
    while waiting and not fault:
        name = waiting.pop()
        if name in ("", "."):
            continue
        if name == "..":
            folder = os.path.dirname(folder)
            continue
        here, shared = os.path.join(folder, name), bool(os.lstat(folder).st_mode & 0o022)
        try:
            status = os.lstat(here)
        except FileNotFoundError:
            return _missing_fault(here, shared, waiting)
        if shared and status.st_uid not in trusted_ids():
            return f"{here!r} belongs to the user with the id {status.st_uid}, in a folder that others may write to"
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > LINK_LIMIT:
                return f"{here!r} is one of too many symbolic links"
            target = os.readlink(here)
            folder = "/" if target.startswith("/") else folder
            waiting += target.split("/")[::-1]
        elif stat.S_ISDIR(status.st_mode):
            folder, fault = here, _folder_fault(here, status)
        elif any(one not in ("", ".") for one in waiting):
            fault = f"{here!r} is not a folder"
        else:
            fault = f"users other than root may write to {here!r}" if others_write(status) else ""
    return fault


def _folder_fault(path: str, status: os.stat_result) -> str:
    if status.st_uid not in trusted_ids():
        return f"the folder {path!r} belongs to the user with the id {status.st_uid}"
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        return f"users other than root may write to the folder {path!r}"
    return ""


def _missing_fault(path: str, shared: bool, waiting: list[str]) -> str:
    if shared:
        return f"{path!r} does not exist, and others may make it"
    return f"it leads back out of {path!r}, which does not exist" if ".." in waiting else ""
