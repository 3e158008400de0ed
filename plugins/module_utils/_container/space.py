# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Estimates how much a checkpoint has to write, and refuses one without room where no second try is possible."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import used_bytes
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import (
    RESERVE_BYTES,
    cgroup_memory,
    free_bytes,
    resident_memory,
    tree_memory,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import read_tree

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container


def require_space(paths: Paths, desired: Desired, container: Container) -> None:
    """Refuses an archive without enough room for a container that is removed when it ends (--rm)."""
    if desired.archive_path is None or not container.auto_remove:
        return
    free = free_bytes(os.path.dirname(desired.archive_path))
    needed = resident_memory(paths, read_tree(paths, container.pid, host_labels(paths))) + RESERVE_BYTES
    if free < needed:
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r} to {desired.archive_path!r}: {free} bytes are free "
            f"there, and it may need {needed}; a container made with --rm could not be restored. Free space there.",
            reason="disk_full",
        )


def bytes_to_write(paths: Paths, container: Container, archive_path: str | None) -> int:
    """Returns at most how much a checkpoint has to write: memory, and for an archive what is in the storage."""
    memory = cgroup_memory(paths, container.pid) or tree_memory(paths, container.pid)
    return memory if archive_path is None else memory + used_bytes(paths.storage)
