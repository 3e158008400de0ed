# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines a finding about a host, the intents that it may concern, and its levels."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._criu.known_faults import EVERYTHING
from ansible_collections.criu.hosts.plugins.module_utils._host import remedies

CONTAINERS = ("container", "migration_source", "migration_target")
NON_ROOT = ("non_root",)
INTENTS = (
    "container",
    "multi_threaded",
    "tcp_established",
    "file_locks",
    "pre_dump",
    "lazy_pages",
    "non_root",
    "rootless",
    "migration_source",
    "migration_target",
)
# The levels, most severe first.
BLOCKS, UNKNOWN, WARNS = LEVELS = ("blocks", "unknown", "warns")


@dataclass(frozen=True)
class Finding:
    """A reason, as one rule finds it for some of the intents."""

    code: str
    level: str
    message: str
    advice: str
    task: remedies.Task | None = None
    source: str | None = None
    intents: tuple[str, ...] = EVERYTHING
