# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Measures the memory that a dump has to write, and the free space for it."""

from __future__ import annotations

import os
import re
from typing import Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of, read_pids

# A checkpoint needs more space than the memory of its processes: other images, logs, changed files.
RESERVE_BYTES = 16 << 20


def resident_memory(paths: Paths, pids: Iterable[int]) -> int:
    """Returns the resident memory of the processes, from /proc, in bytes."""
    fields = [(read_text(f"{paths.proc}/{pid}/statm") or "").split() for pid in pids]
    return sum(int(field[1]) for field in fields if len(field) > 1) * os.sysconf("SC_PAGE_SIZE")


def tree_memory(paths: Paths, pid: int) -> int:
    """Returns the resident memory of a process and all that descend from it, in bytes."""
    return resident_memory(paths, read_pids(paths, pid))


def cgroup_memory(paths: Paths, pid: int) -> int | None:
    """Returns the memory of the container's cgroup in bytes, including the page cache; None if it is not known.

    runc and crun put the processes into the scope, or one folder below it: the scope has the sum.
    """
    path = cgroup_of(paths, pid)
    head, inside, dummy = path.partition(".scope/")
    text = read_text(f"{paths.cgroups}{f'{head}.scope' if inside else path}/memory.current") if path else None
    return int(text) if text and re.fullmatch(r"\s*[0-9]{1,18}\s*", text) else None


def folder_bytes(folder: str) -> int:
    """Returns the bytes of all files in a folder, without those of folders in it; 0 if there is no such folder."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
    except OSError:
        return 0


def free_bytes(path: str) -> int:
    """Returns the free space on the file system that holds, or will hold, ``path``."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
