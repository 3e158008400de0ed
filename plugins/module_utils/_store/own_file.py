# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads a small file that only root or the caller can have written, such as a record."""

from __future__ import annotations

import errno
import os
import stat

from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import trusted_ids
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below

# The record of a container with 100,000 threads, each with its label, has half of this.
RECORD_LIMIT = 32 << 20


def read_own(path: str, *, limit: int = RECORD_LIMIT) -> bytes | None:
    """Returns the content of the file; None if there is none. The folder is one that others cannot write to.

    Raises:
        ValueError: with the reason, if it is a link or no regular file, is too large, belongs to another user, is
            writable by others, or cannot be read.
    """
    folder, name = os.path.split(path)
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            raise OSError(errno.EINVAL, "it is a symbolic link", path)
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o022:
            raise OSError(errno.EPERM, "users other than its owner may write to it", path)
        return read_below(folder, name, limit=limit, owners=trusted_ids())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ValueError(error.strerror) from error
