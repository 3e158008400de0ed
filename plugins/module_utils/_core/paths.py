# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the places where a host keeps what the collection reads and writes, and opens them without waiting."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Paths:
    """The places below ``root``, which is empty: only the unit tests put a folder there."""

    root: str = ""

    def below(self, absolute: str) -> str:
        """Returns the place of an absolute path."""
        return f"{self.root}{absolute}"

    @property
    def proc(self) -> str:
        return self.below("/proc")

    @property
    def sys(self) -> str:
        return self.below("/sys")

    @property
    def selinuxfs(self) -> str:
        return self.below("/sys/fs/selinux")

    @property
    def cgroups(self) -> str:
        return self.below("/sys/fs/cgroup")

    @property
    def state(self) -> str:
        """The folder of what the collection keeps over reboots."""
        return self.below("/var/lib/criu-hosts")

    @property
    def trust_policy(self) -> str:
        """The file by which the administrator decides what may be restored on this host."""
        return self.below("/etc/criu-hosts/trust.json")

    @property
    def allowed_signers(self) -> str:
        """The keys of those who may sign checkpoints, in the format that ssh-keygen(1) describes."""
        return self.below("/etc/criu-hosts/allowed_signers")

    @property
    def run(self) -> str:
        """The folder of what it keeps until the next boot."""
        return self.below("/run/criu-hosts")

    @property
    def units(self) -> str:
        """The folder of units and drop-ins that last until the next boot."""
        return self.below("/run/systemd/system")

    @property
    def storage(self) -> str:
        """The folder of podman's images and containers."""
        return self.below("/var/lib/containers/storage")


def temporary_path(path: str) -> str:
    """Returns the path at which a file is written before it gets its name: one only, so that a kill leaves no more."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.criu-hosts")


def without_waiting(path: str, flags: int) -> int:
    """Opens a file as ``opener`` of ``open``: never waits for a pipe, and makes no terminal that of this process."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
