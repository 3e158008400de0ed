# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the state of CRIU's cache of kernel features, /run/criu.kdat."""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._host.kernel import _names, _time, read_boot_time
from ansible_collections.criu.hosts.plugins.module_utils._host.names import KDAT


def read_kdat(root: str, policy: str | None, *, ours: bool) -> dict[str, Any]:
    """CRIU's cache of what the kernel can do: present or not, and what is newer than it.

    CRIU itself only looks at the time of its own compilation, which a package takes from its changelog: a rebuild with
    other libraries may have the same. A changed policy or kernel it does not notice. ``ours`` says that the CRIU in
    use is one that criu_build installed.
    """
    build = "/opt/criu-hosts/current" if ours else "/var/lib/dpkg/info/criu.list"
    written = _time(f"{root}{KDAT}")
    folder = f"{root}/etc/selinux/{policy}/policy"
    newer = {
        "boot": [read_boot_time(root)],
        "build": [_time(f"{root}{build}")],
        "policy": [_time(f"{folder}/{name}") for name in _names(folder)] if policy else [],
    }
    stale = None
    for what, times in newer.items():
        known = [time for time in times if time is not None]
        if written is not None and stale is None and known and written < max(known):
            stale = what
    return {"path": f"{root}{KDAT}", "present": written is not None, "stale": stale}
