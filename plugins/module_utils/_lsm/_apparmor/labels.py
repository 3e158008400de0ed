# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the AppArmor profiles of threads. AppArmor shows no labels of sockets and mounts.

Since Linux 5.8 the file is attr/apparmor/current; attr/current belongs to the LSM that was registered first (kernel,
Documentation/admin-guide/LSM/index.rst).
"""

from __future__ import annotations

from typing import Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_attribute, read_text


def apparmor_rules(paths: Paths) -> bool:
    """Returns whether AppArmor is enabled in the kernel."""
    return (read_text(f"{paths.sys}/module/apparmor/parameters/enabled", may_fail=True) or "").strip() == "Y"


class AppArmorLabels:
    """Reads AppArmor's labels, such as "containers-default-0.62.2 (enforce)"."""

    lsm = "apparmor"

    def thread(self, task: str) -> str | None:
        text = read_attribute(f"{task}/attr/apparmor/current")
        if text is None:
            text = read_attribute(f"{task}/attr/current")
        return None if text is None else text.rstrip("\n\0")

    def sockcreate(self, task: str) -> str | None:
        return None

    def socket(self, descriptor: str) -> str:
        return ""

    def mounts(self, mountinfo: str) -> Mapping[str, str]:
        return {}
