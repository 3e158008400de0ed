# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Rootless containers: nobody can checkpoint them today, so say what works instead, before anything is touched."""

from __future__ import annotations

import json
import os
import pwd

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.user import in_user_namespace

# Where podman keeps the names of a user's containers, below the user's home, and of root's everywhere.
STORAGE = ".local/share/containers/storage"
DRIVERS = ("overlay", "vfs", "btrfs")
INSTEAD = (
    "Start it as root's container (become: true). Without root, checkpoint a plain process (criu_non_root of the role "
    "criu.hosts.criu, then process_checkpoint), or run CRIU inside of the container (role "
    "criu.hosts.unprivileged_container)."
)


def unsupported(what: str, why: str) -> CheckpointError:
    return CheckpointError(f"Cannot {what}: {why}. {INSTEAD}", reason="rootless_unsupported")


def require_root(what: str) -> None:
    """Refuse a caller who is not the host's root: podman cannot do it, and says so only after much work.

    Raises:
        CheckpointError: rootless_unsupported.
    """
    uid = os.geteuid() if PLACES.uid is None else PLACES.uid
    if uid != 0:
        raise unsupported(what, f"podman does it for root only, and this task runs as user id {uid}")
    if in_user_namespace():
        raise unsupported(what, "podman does it for root only, and this task is root in a user namespace only")


def refuse_users_container(name: str, what: str) -> None:
    """Refuse a container that root's podman does not know, because it is a user's.

    Raises:
        CheckpointError: rootless_unsupported.
    """
    for user in pwd.getpwall():
        if user.pw_uid and name in container_names(os.path.join(user.pw_dir, STORAGE)):
            why = f"it is a rootless container of the user {user.pw_name!r}, and podman does it for root's only"
            raise unsupported(what, why)


def container_names(storage: str) -> set[str]:
    """The names and ids of the containers in a storage folder; none where there is none, or none that can be read."""
    found: set[str] = set()
    for driver in DRIVERS:
        try:
            listed = json.loads(read_text(f"{storage}/{driver}-containers/containers.json") or "[]")
            for entry in listed:
                found |= {entry["id"], *entry.get("names", ())}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found
