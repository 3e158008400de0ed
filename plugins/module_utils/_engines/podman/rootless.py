# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses rootless containers, which podman cannot checkpoint, and names the alternatives."""

from __future__ import annotations

import pwd

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import users_containers
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import in_user_namespace

# Where podman lists a user's containers, below the user's home.
STORAGE = ".local/share/containers/storage"
INSTEAD = (
    "Start it as root's container (become: true). Without root, checkpoint a plain process (criu_non_root of the role "
    "criu.hosts.criu, then process_checkpoint), or run CRIU inside the container (role "
    "criu.hosts.unprivileged_container)."
)


def unsupported(what: str, why: str) -> CheckpointError:
    return CheckpointError(f"Cannot {what}: {why}. {INSTEAD}", reason="rootless_unsupported")


def require_root(what: str, paths: Paths, uid: int) -> None:
    """Refuses a caller who is not the host's root, before podman does.

    Raises:
        CheckpointError: rootless_unsupported.
    """
    if uid != 0:
        raise unsupported(what, f"podman needs root for it, and this task runs with the user id {uid}")
    if in_user_namespace(paths):
        raise unsupported(what, "podman needs the root of the host for it, and this task is root in a user namespace")


def refuse_users_container(name: str, what: str) -> None:
    """Refuses a container that root's podman does not list, because it belongs to a user.

    Raises:
        CheckpointError: rootless_unsupported.
    """
    for user in pwd.getpwall():
        if user.pw_uid and name in users_containers(user.pw_dir, STORAGE, (user.pw_uid,)):
            whose = f"it is a rootless container of the user {user.pw_name!r}"
            raise unsupported(what, f"{whose}, and podman checkpoints only rootful containers")
