# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Locks a folder, so that only one task at a time works in it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

_PAUSE = 0.05


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(folder: str, wait: float = 0.0) -> Iterator[None]:
    """Locks ``folder`` for the time of the block; the kernel unlocks it when the process ends, in any way.

    ``wait``: how many seconds to wait for another task that holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    last = time.monotonic() + wait
    try:
        while not _take(descriptor):
            if time.monotonic() >= last:
                raise CheckpointError(
                    f"Cannot work in {folder!r}: another task is working there. Run this task again when that one "
                    "has ended.",
                    reason="busy",
                    path=folder,
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)
