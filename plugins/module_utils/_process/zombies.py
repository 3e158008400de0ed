# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Waits for the parent of a process that has ended: until it collects the exit status, the id stays taken."""

from __future__ import annotations

import os
import time

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.process import stat_fields

# Process 1 collects orphans at once, unless the host is busy.
PARENT_SECONDS = 10.0
PAUSE = 0.1


def parent_of_zombie(paths: Paths, pid: int) -> int:
    """Returns the parent of a process of which only the exit status is left; 0 if there is none, or it still runs."""
    fields = stat_fields(paths, pid)
    if len(fields) < 2 or fields[0] not in ("Z", "X") or not fields[1].isdigit():
        return 0
    try:
        threads = os.listdir(f"{paths.proc}/{pid}/task")
    except OSError:
        return 0
    # The first thread may have ended before the others.
    return int(fields[1][:10]) if len(threads) <= 1 else 0


def wait_for_parent(paths: Paths, pid: int) -> int:
    """Waits until the exit status of a process is collected; returns the parent that does not, or 0."""
    deadline = time.monotonic() + PARENT_SECONDS
    while True:
        parent = parent_of_zombie(paths, pid)
        if parent == 0 or time.monotonic() > deadline:
            return parent
        time.sleep(PAUSE)
