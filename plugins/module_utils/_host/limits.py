# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Limits the time of commands that write or read the memory of processes."""

from __future__ import annotations

import os
from dataclasses import replace

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step

BASE_SECONDS = 300
# A disk that is busy, and slow.
BYTES_PER_SECOND = 4 << 20
# An archive is compressed: so much more is written when it is restored.
COMPRESSED = 16


def seconds_for(size: int) -> int:
    """Returns how long a dump or restore of so many bytes may take."""
    return BASE_SECONDS + size // BYTES_PER_SECOND


def limited(steps: tuple[Step, ...], size: int) -> tuple[Step, ...]:
    """Returns the steps with that limit for each command that nothing else ends."""
    limit = float(seconds_for(size))
    return tuple(replace(one, time_limit=limit) if isinstance(one, Command) and one.finish else one for one in steps)


def used_bytes(path: str) -> int:
    """Returns the bytes that are in use on the file system of ``path``, or of the nearest folder; 0 if unknown."""
    while path and not os.path.isdir(path):
        path = os.path.dirname(path)
    try:
        found = os.statvfs(path)
    except OSError:
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize
