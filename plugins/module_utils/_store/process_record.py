# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders and parses the record of a process checkpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._host.process import is_alive

SCHEMA = 1


@dataclass(frozen=True)
class ProcessRecord:
    """What was known of a process when it was checkpointed; ``inventory`` ties the record to its images."""

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

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.start, self.boot)


def render_record(record: ProcessRecord) -> str:
    return json.dumps({"schema": SCHEMA, **record.__dict__}, indent=1, sort_keys=True) + "\n"


def parse_record(text: str | None) -> ProcessRecord | None:
    """The record of a file; None if there is none that this release understands."""
    try:
        entries = json.loads(text or "")
        if entries.pop("schema") != SCHEMA:
            return None
        return ProcessRecord(**{**entries, "pid": int(entries["pid"])})
    except (ValueError, AttributeError, KeyError, TypeError):
        return None
