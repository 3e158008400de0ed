# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines how the security labels of an LSM are read, and finds the LSM that labels on this host.

Labels are compared as text: an SELinux context, or an AppArmor profile with its mode.
"""

from __future__ import annotations

from typing import Mapping, Protocol

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.labels import SelinuxLabels
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import read_mode


class Labels(Protocol):
    """Reads the labels of one LSM. An empty label means that the object has none."""

    @property
    def lsm(self) -> str:
        """Returns selinux, apparmor or none."""

    def thread(self, task: str) -> str | None:
        """Returns the label of the thread with the folder ``task`` (/proc/PID/task/TID); None if it has ended."""

    def sockcreate(self, task: str) -> str | None:
        """Returns the label that the thread has set for its next sockets, empty for none; None if that is unknown."""

    def socket(self, descriptor: str) -> str:
        """Returns the label of the socket behind ``descriptor`` (/proc/PID/fd/N)."""

    def mounts(self, mountinfo: str) -> Mapping[str, str]:
        """Returns the labels that mounts give to their files, by mount point, from the text of mountinfo."""


class NoLabels:
    """A host without an LSM that labels."""

    lsm = "none"

    def thread(self, task: str) -> str | None:
        return ""

    def sockcreate(self, task: str) -> str | None:
        return None

    def socket(self, descriptor: str) -> str:
        return ""

    def mounts(self, mountinfo: str) -> Mapping[str, str]:
        return {}


def host_labels(paths: Paths) -> Labels:
    """Returns the reader for the LSM that is active on this host; SELinux if two are (stacked)."""
    if read_mode(paths.selinuxfs) != "disabled":
        return SelinuxLabels()
    # Hosts with SELinux need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.labels import AppArmorLabels, apparmor_rules

    if apparmor_rules(paths):
        return AppArmorLabels()
    return NoLabels()
