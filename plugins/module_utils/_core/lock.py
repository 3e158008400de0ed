# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lets only one task at a time work in a folder of ours."""

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
    """Hold ``folder`` for the time of the block; the kernel lets go of it when the process ends in whatever way.

    ``wait``: so many seconds for another task to let go of it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    last = time.monotonic() + wait
    try:
        while not _take(descriptor):
            if time.monotonic() >= last:
                raise CheckpointError(
                    f"Cannot work in {folder!r}: another task is at work there. Run the task again when that has "
                    "ended.",
                    reason="busy",
                    path=folder,
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)
