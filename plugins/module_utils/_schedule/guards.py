# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Decides whether a host is too busy or too full for a checkpoint now."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import cgroup_memory, free_bytes

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import Schedule

LOAD = re.compile(r"([0-9]{1,6}\.[0-9]{1,3}) ")


def read_load(paths: Paths) -> float | None:
    """Returns the load average of the last minute per processor; None if it is not known."""
    found = LOAD.match(read_text(f"{paths.proc}/loadavg", may_fail=True) or "")
    return float(found.group(1)) / (os.cpu_count() or 1) if found else None


def skip_for_load(schedule: Schedule, load: float | None) -> str:
    """Returns why the load forbids a checkpoint; empty if it does not, or is not known."""
    if schedule.max_load is None or load is None or load <= schedule.max_load:
        return ""
    return f"the load per processor is {load:.2f}, and max_load is {schedule.max_load:.2f}"


def skip_for_space(schedule: Schedule, free: int, memory: int) -> str:
    """Returns why the free space forbids a checkpoint, all in bytes; empty if it does not. 0 is no guard."""
    needed = schedule.min_free_bytes + memory
    if not schedule.min_free_bytes or free >= needed:
        return ""
    return (
        f"{free >> 20} MiB are free at {schedule.store!r}, and it needs {needed >> 20}: min_free_bytes, and the memory "
        "of the container"
    )


def skip(paths: Paths, schedule: Schedule, pid: int) -> str:
    """Returns why there is no checkpoint now, empty if there is one. ``pid``: that of the container, or 0."""
    memory = (cgroup_memory(paths, pid) or 0) if pid else 0
    return skip_for_load(schedule, read_load(paths)) or skip_for_space(schedule, free_bytes(schedule.store), memory)
