# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines how the security labels of an LSM are read, and finds out which LSM gives them on this host.

Labels are compared as text: an SELinux context, or an AppArmor profile with its mode.
"""

from __future__ import annotations

from typing import Mapping, Protocol

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.labels import SelinuxLabels
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import read_mode


class Labels(Protocol):
    """How one LSM shows its labels. An empty label means that the thing has none."""

    @property
    def lsm(self) -> str:
        """selinux, apparmor or none."""

    def thread(self, task: str) -> str | None:
        """The label of the thread with the folder ``task`` (/proc/PID/task/TID); None if it has ended."""

    def sockcreate(self, task: str) -> str | None:
        """The label that the thread has asked for its next sockets, empty for none; None if that is not known."""

    def socket(self, descriptor: str) -> str:
        """The label of the socket behind ``descriptor`` (/proc/PID/fd/N)."""

    def mounts(self, mountinfo: str) -> Mapping[str, str]:
        """The labels that mounts give to what is in them, by mount point, from the text of mountinfo."""


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
    """Returns the reader for the LSM that rules on this host. Where two do (stacked), SELinux counts."""
    if read_mode(paths.selinuxfs) != "disabled":
        return SelinuxLabels()
    # Hosts with SELinux need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.labels import AppArmorLabels, apparmor_rules

    if apparmor_rules(paths):
        return AppArmorLabels()
    return NoLabels()
