# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Which names a container with a unit may have."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import PODMAN_NAME


def check_name(name: str) -> None:
    """Raises name_invalid."""
    if not re.match(rf"{PODMAN_NAME}\Z", name) or name.endswith(".service"):
        raise CheckpointError(
            f"Refuse name {name!r}: a container's name has letters, digits, '_', '.' and '-', starts with a letter or "
            "digit, and gets '.service' added for the unit. Give such a name.",
            reason="name_invalid",
        )
