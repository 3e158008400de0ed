# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Which names a container with a unit may have."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError

# Podman's rule for containers, volumes, networks and secrets.
PODMAN_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]*"
# The first line of every file of ours: what has none is somebody else's.
HEADER = "# Made by criu.hosts.container_unit: what is changed here is lost."


def check_name(name: str) -> None:
    """Raises name_invalid."""
    if not re.match(rf"{PODMAN_NAME}\Z", name) or name.endswith(".service"):
        raise CheckpointError(
            f"Refuse name {name!r}: a container's name has letters, digits, '_', '.' and '-', starts with a letter or "
            "digit, and gets '.service' added for the unit. Give such a name.",
            reason="name_invalid",
        )
