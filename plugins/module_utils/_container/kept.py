# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the stored checkpoints in which a container is stopped: each is the only copy of a state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._container.held import look
from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import is_in_checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, record_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored


def _record_of(one: Stored) -> Record | None:
    """Returns the record of a checkpoint with which its container has ended; None for any other."""
    if one.manifest is None or one.kind != "container":
        return None
    record = record_of(one.manifest.record)
    return None if record.ran_on or not record.stamp else record


def stopped_in(ctx: Context, engine: Engine, stored: Iterable[Stored]) -> dict[str, str]:
    """Returns why each of these checkpoints is needed in which a container is stopped, by its path.

    A host without the engine has no container. The caller holds the containers.
    """
    records = [(one, record) for one in stored for record in (_record_of(one),) if record is not None]
    found: dict[str, str] = {}
    for name in sorted({one.name for one, dummy in records}):
        try:
            container = look(ctx, engine, name)
        except CheckpointError as error:
            if error.reason != f"{engine.name}_missing":
                raise
            return {}
        for one, record in records:
            if container is None or one.name != name or container.id != record.id:
                continue
            if container.stamp == record.stamp and is_in_checkpoint(ctx.paths, container, record):
                found[one.path] = f"container {name!r} is stopped in it"
    return found
