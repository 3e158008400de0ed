# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the mode of SELinux and the values of booleans from the running kernel's selinuxfs."""

from __future__ import annotations

import os

from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text


def read_mode(selinuxfs: str) -> str:
    """Returns the mode of the running kernel: enforcing, permissive, or disabled.

    A selinuxfs that is missing or read-only, as in containers, means disabled, as for libselinux and all its tools.
    """
    enforce = read_text(f"{selinuxfs}/enforce", may_fail=True)
    if enforce is None or os.statvfs(selinuxfs).f_flag & os.ST_RDONLY:
        return "disabled"
    return "enforcing" if enforce.strip() == "1" else "permissive"


def boolean_value(selinuxfs: str, name: str) -> bool | None:
    """Returns the value of a boolean in the running kernel; None if the loaded policy has no such boolean."""
    text = read_text(f"{selinuxfs}/booleans/{name}", may_fail=True)
    # The active value and the pending one, as 0 or 1.
    return None if text is None else text.split()[:1] == ["1"]
