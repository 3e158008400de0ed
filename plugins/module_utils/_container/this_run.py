# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Judges whether a checkpoint is of this run of its container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import is_in_checkpoint

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


@dataclass(frozen=True)
class Known:
    """The checkpoint that is there, or that this task has completed; ``path`` is that of its archive.

    ``warnings`` are about others in the store that cannot be used.
    """

    current: bool
    record: Record | None
    path: str | None = None
    warnings: tuple[str, ...] = ()


def is_of_this_run(paths: Paths, container: Container | None, record: Record) -> bool:
    """Returns whether the record is of this run of the container, or of its last one if it is gone."""
    if container is None:
        return True
    if container.id != record.id:
        return False
    if container.alive:
        return record.run == container.run
    return container.stamp == record.stamp and is_in_checkpoint(paths, container, record)
