# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Identifies processes: pid, start time and boot together belong to exactly one process."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text


def stat_fields(paths: Paths, pid: int, *, may_fail: bool = False) -> list[str]:
    """Returns the fields of a process in /proc after its name: state, parent, and so on; none if it has ended."""
    return (read_text(f"{paths.proc}/{pid}/stat", may_fail=may_fail) or "").rpartition(")")[2].split()


def comm_of(paths: Paths, pid: int) -> str:
    """Returns the name of a process; empty if it has ended."""
    return (read_text(f"{paths.proc}/{pid}/comm", may_fail=True) or "").rstrip("\n")


def read_pids(paths: Paths, root: int, limit: int = sys.maxsize) -> list[int]:
    """Returns a process and its descendants, which CRIU dumps with it."""
    found: dict[int, None] = {}
    waiting = [root]
    while waiting and len(found) < limit:
        pid = waiting.pop(0)
        if pid in found:
            continue
        found[pid] = None
        folder = f"{paths.proc}/{pid}/task"
        try:
            tasks = os.listdir(folder)
        except OSError:
            continue
        for task in tasks:
            children = read_text(f"{folder}/{task}/children", may_fail=True) or ""
            waiting += [int(child) for child in children.split() if child.isdigit()]
    return list(found)


def process_start(paths: Paths, pid: int) -> str:
    """Returns when a process started, in ticks since the boot; empty if it has ended. With the pid it is unique."""
    fields = stat_fields(paths, pid)
    return fields[19] if len(fields) > 19 else ""


def cgroup_of(paths: Paths, pid: int | str) -> str:
    """Returns the cgroup of a process in the unified hierarchy; empty if it is not known, or not in our namespace."""
    for line in (read_text(f"{paths.proc}/{pid}/cgroup") or "").split("\n"):
        if line.startswith("0::"):
            return line[3:] if line.isprintable() and ".." not in line.split("/") else ""
    return ""


def boot_id(paths: Paths) -> str:
    """Returns the id of the host's current boot."""
    return (read_text(f"{paths.proc}/sys/kernel/random/boot_id") or "").strip()


@dataclass(frozen=True)
class Process:
    """A process of this host. ``start`` counts ticks since the boot ``boot``."""

    pid: int
    start: str
    boot: str
    comm: str
    exe: str
    cgroup: str

    @property
    def identity(self) -> tuple[int, str, str]:
        return self.pid, self.start, self.boot

    @property
    def text(self) -> str:
        return f"process {self.pid} ({self.comm!r})"


def is_alive(paths: Paths, pid: int, start: str, boot: str) -> bool:
    """Returns whether exactly this process still runs; a zombie does not."""
    if not start or boot != boot_id(paths) or process_start(paths, pid) != start:
        return False
    return stat_fields(paths, pid)[:1] not in (["Z"], ["X"])


def read_process(paths: Paths, pid: int) -> Process | None:
    """Reads the process with this id; None if there is none, or only a zombie."""
    start = process_start(paths, pid)
    if not start or not is_alive(paths, pid, start, boot_id(paths)):
        return None
    try:
        exe = os.readlink(f"{paths.proc}/{pid}/exe")
    except OSError:
        exe = ""  # a kernel thread, or no permission
    return Process(pid, start, boot_id(paths), comm_of(paths, pid), exe, cgroup_of(paths, pid))
