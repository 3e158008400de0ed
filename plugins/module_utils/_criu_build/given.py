# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads a file that a task names, once: what is verified and what is unpacked are the same bytes.

The file may be in a folder of another user, who could replace or change it between two readings. Its content therefore
stays in memory, and a plan writes it to a folder that only root can change when a command or an unpacking needs a path.
"""

from __future__ import annotations

import hashlib
import os

from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below

# Artifacts and packages of CRIU have a few MiB, its source has one.
GIVEN_LIMIT = 256 << 20


def read_given(path: str) -> bytes | None:
    """Returns the content of the file; None if there is none. A link is followed.

    Raises:
        OSError: it is no regular file (EINVAL), it is larger than ``GIVEN_LIMIT`` (EFBIG), or it cannot be read.
    """
    folder, name = os.path.split(os.path.realpath(path))
    try:
        return read_below(folder, name, limit=GIVEN_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None


def demand_given(path: str) -> bytes:
    """Returns the content of a file that must exist.

    Raises:
        OSError: as ``read_given``, and if it is absent.
    """
    data = read_given(path)
    if data is None:
        raise FileNotFoundError(2, "no such file", path)
    return data


def sum_of(data: bytes) -> str:
    """Returns the SHA-256 of a content."""
    return hashlib.sha256(data).hexdigest()
