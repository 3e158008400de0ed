# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a checkpoint that could never be restored, and reports what a restore will not bring back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import binds_of, entry_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.places import CONFIG, settings
from ansible_collections.criu.hosts.plugins.module_utils._engines.strays import warn_strays

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

# Debian's docker.io makes it a link to tini-static.
INIT = "/usr/bin/docker-init"


def check_losses(paths: Paths, container: Container) -> tuple[str, ...]:
    """Warns about processes that the checkpoint leaves out.

    Raises:
        CheckpointError: mount_source_link.
    """
    _refuse_links(paths, container)
    return warn_strays(paths, container, "docker exec")


def _refuse_links(paths: Paths, container: Container) -> None:
    """Refuses a container with a mount whose source is a symbolic link.

    Docker does not resolve it, and CRIU mounts the link itself, not what it leads to: "Can't remount ... with
    MS_PRIVATE: No such file or directory" (CRIU 4.2.1, criu/mount-v2.c; runc 1.1.15).
    """
    what = f"Cannot checkpoint container {container.name!r}: CRIU could not restore its mount of"
    for bind in binds_of(entry_of(container)):
        if os.path.islink(paths.below(bind.source)):
            raise CheckpointError(
                f"{what} {shown(bind.source)}, which is a symbolic link. Make the container with the path to which the "
                "link leads.",
                reason="mount_source_link",
                path=bind.source,
            )
    given = settings(paths).get("init-path")
    init = given if isinstance(given, str) else INIT
    if container.own["init"] and os.path.islink(paths.below(init)):
        raise CheckpointError(
            f"{what} {shown(init)} (--init), which is a symbolic link. Set init-path in {CONFIG} to the path to which "
            "the link leads, restart Docker, and make the container again.",
            reason="mount_source_link",
            path=init,
        )
