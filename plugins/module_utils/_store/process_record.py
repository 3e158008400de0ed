# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the record of a process checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.process import is_alive
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import parse_entries


@dataclass(frozen=True)
class ProcessRecord:
    """The state of a process when it was checkpointed; ``inventory`` ties the record to its images."""

    pid: int
    start: str
    boot: str
    comm: str
    exe: str
    cgroup: str
    inventory: str = ""
    unit: str = ""
    inherit: Any = ()
    leave_running: bool = False
    pre_dump: bool = False
    shell_job: bool = False
    parent: str = ""
    parent_inventory: str = ""
    checkpointed_at: str = ""
    criu: str = ""
    selinux: str = ""
    external: Any = ()

    @property
    def text(self) -> str:
        return f"process {self.pid} ({self.comm!r})"

    def is_alive(self, paths: Paths) -> bool:
        return is_alive(paths, self.pid, self.start, self.boot)


def parse_record(text: str | None) -> ProcessRecord | None:
    """Returns the record in a file; None if this release does not understand it."""
    entries = parse_entries(text)
    try:
        return None if entries is None else ProcessRecord(**{**entries, "pid": int(entries["pid"])})
    except (ValueError, KeyError, TypeError):
        return None
