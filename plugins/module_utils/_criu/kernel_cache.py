# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the state of CRIU's cache of kernel features, /run/criu.kdat."""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.kernel import names_in, read_boot_time, written_at
from ansible_collections.criu.hosts.plugins.module_utils._host.names import KDAT


def read_kdat(paths: Paths, policy: str | None, *, ours: bool) -> dict[str, Any]:
    """Returns whether the cache exists, and the event that is newer than it.

    CRIU itself compares only the time of its own compilation, which a package takes from its changelog: a rebuild with
    other libraries may have the same time. It does not notice a changed policy or kernel. ``ours`` is whether
    criu_build installed the CRIU in use.
    """
    build = "/opt/criu-hosts/current" if ours else "/var/lib/dpkg/info/criu.list"
    written = written_at(paths.below(KDAT))
    folder = paths.below(f"/etc/selinux/{policy}/policy")
    newer = {
        "boot": [read_boot_time(paths)],
        "build": [written_at(paths.below(build))],
        "policy": [written_at(f"{folder}/{name}") for name in names_in(folder)] if policy else [],
    }
    stale = None
    for what, times in newer.items():
        known = [time for time in times if time is not None]
        if written is not None and stale is None and known and written < max(known):
            stale = what
    return {"path": paths.below(KDAT), "present": written is not None, "stale": stale}
