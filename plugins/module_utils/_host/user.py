# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reports which user runs the task, and whether in a user namespace."""

from __future__ import annotations

import os

from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES, read_text


def is_root() -> bool:
    return (os.geteuid() if PLACES.uid is None else PLACES.uid) == 0


def in_user_namespace() -> bool:
    """Whether this root is one of a user namespace (podman unshare, a rootless container): podman is rootless then."""
    text = read_text(f"{PLACES.proc}/self/uid_map")
    return text is not None and text.split() != ["0", "0", "4294967295"]
