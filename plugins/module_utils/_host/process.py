# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Identifies processes: pid, start time and boot together belong to exactly one process."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text


def process_start(paths: Paths, pid: int) -> str:
    """Returns when a process started, in ticks since the boot; empty if it has ended. With the pid it is unique."""
    text = read_text(f"{paths.proc}/{pid}/stat") or ""
    fields = text.rpartition(")")[2].split()
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
    state = (read_text(f"{paths.proc}/{pid}/stat") or "").rpartition(")")[2].split()[:1]
    return state not in (["Z"], ["X"])


def read_process(paths: Paths, pid: int) -> Process | None:
    """Reads the process with this id; None if there is none, or only a zombie."""
    base, start = f"{paths.proc}/{pid}", process_start(paths, pid)
    if not start or not is_alive(paths, pid, start, boot_id(paths)):
        return None
    try:
        exe = os.readlink(f"{base}/exe")
    except OSError:
        exe = ""  # a kernel thread, or no permission
    comm = (read_text(f"{base}/comm") or "").rstrip("\n")
    return Process(pid, start, boot_id(paths), comm, exe, cgroup_of(paths, pid))
