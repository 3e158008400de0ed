# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the systemd service that runs a container: runc or crun stays in it as the parent, unless it was detached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of, comm_of, stat_fields

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths


def service_of(paths: Paths, runtime: str, pid: int) -> str:
    """Returns the service in which the container's first process was started; empty if there is none."""
    fields = stat_fields(paths, pid, may_fail=True)
    parent = int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0
    if not parent or comm_of(paths, parent) != runtime:
        return ""
    unit = cgroup_of(paths, parent).rpartition("/")[2]
    return unit if unit.endswith(".service") else ""
