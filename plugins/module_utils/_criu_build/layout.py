# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the places of CRIU's builds on a host."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.names import KDAT

BINARY = "sbin/criu"


@dataclass(frozen=True)
class Layout:
    """The paths on a host. ``root`` is empty except in tests."""

    paths: Paths = field(default_factory=Paths)

    @property
    def base(self) -> str:
        return self.paths.below("/opt/criu-hosts")

    @property
    def state(self) -> str:
        """Returns the folder that tasks work in; it is locked by one task at a time."""
        return self.paths.state

    @property
    def current(self) -> str:
        return f"{self.base}/current"

    @property
    def active(self) -> str:
        """Returns the path of the binary that does not change with the version."""
        return f"{self.current}/{BINARY}"

    def tree(self, name: str) -> str:
        """Returns the folder of one build."""
        return f"{self.base}/{name}"

    @property
    def local(self) -> str:
        return self.paths.below("/usr/local/sbin/criu")

    @property
    def packaged(self) -> str:
        """Returns the path of the distribution's binary."""
        return self.paths.below("/usr/sbin/criu")

    @property
    def diverted(self) -> str:
        return f"{self.packaged}.distrib"

    @property
    def cache(self) -> str:
        """CRIU's cache of the kernel's features; wrong after a change of CRIU."""
        return self.paths.below(KDAT)
