# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the security modules (LSM) that are active on a host and confine its processes."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

# The modules that give each process a label of which its rights depend. Others, such as yama, landlock and lockdown,
# have none, and tomoyo, which Debian's kernels have on, rules only with a policy of its own.
LABELLING = ("selinux", "apparmor", "smack")


def read_active(paths: Paths) -> list[str] | None:
    """Reads the names of the active security modules, in the kernel's order; None if securityfs is not mounted."""
    text = read_text(f"{paths.sys}/kernel/security/lsm", may_fail=True)
    return None if text is None else [name for name in text.strip().split(",") if name]


def ruling(active: Sequence[str] | None, *, selinux: bool, apparmor: bool) -> str:
    """Returns which module confines processes: selinux, apparmor, none, other, or both of the first two.

    ``selinux`` and ``apparmor`` are what the modules themselves show. In a container the kernel's list has SELinux,
    but selinuxfs is read-only there, which means that it is off.
    """
    listed = [name for name in active or () if name in LABELLING]
    if (selinux and apparmor) or {"selinux", "apparmor"} <= set(listed):
        return "both"
    if selinux or apparmor:
        return "selinux" if selinux else "apparmor"
    return "other" if "smack" in listed else "none"
