# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out whether the task runs in a user namespace."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text


def in_user_namespace(paths: Paths) -> bool:
    """Returns whether root is in a user namespace (podman unshare, rootless container); Podman is rootless then."""
    text = read_text(f"{paths.proc}/self/uid_map")
    return text is not None and text.split() != ["0", "0", "4294967295"]
