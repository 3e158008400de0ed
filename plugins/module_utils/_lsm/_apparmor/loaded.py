# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads which AppArmor profiles the running kernel has."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

# The profile of containers has the version of containers/common in its name: containers-default-0.62.2.
CONTAINER_PROFILE = "containers-default-"


def loaded_profiles(paths: Paths) -> frozenset[str] | None:
    """Returns the names of the loaded profiles; None if the kernel does not show them (securityfs, not root).

    The kernel writes a line for each: its name and its mode in parentheses. The name may contain blanks.
    """
    text = read_text(f"{paths.sys}/kernel/security/apparmor/profiles", may_fail=True)
    if text is None:
        return None
    return frozenset(line.rpartition(" (")[0] for line in text.splitlines() if line.endswith(")") and " (" in line)
