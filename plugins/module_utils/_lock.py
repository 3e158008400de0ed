# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lets only one task at a time work in a folder of ours."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold ``folder`` for the time of the block; the kernel lets go of it when the process ends in whatever way."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"Cannot work in {folder!r}: another task is at work there. Run the task again when that has ended.",
                reason="busy",
                path=folder,
            ) from error
        yield
    finally:
        os.close(descriptor)
