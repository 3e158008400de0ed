# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Shows a checkpoint of a container in the result of a task."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._store.record import record_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def view(
    engine: Engine, desired: Desired, container: Container | None, record: Record | None, state: str
) -> dict[str, Any]:
    """Returns the value of the key checkpoint."""
    archive = desired.archive_path if record is not None and desired.archive_path else None
    return {
        "name": desired.name,
        "engine": engine.name,
        "id": container.id if container else (record.id if record else None),
        "state": desired.state,
        "container_state": state,
        "archive_path": desired.archive_path,
        "record_path": record_path(desired.archive_path) if desired.archive_path else None,
        "store": desired.store,
        "checkpoint_id": os.path.basename(os.path.dirname(archive)) if archive and desired.store else None,
        "image": desired.image,
        "image_id": record.sha256 if desired.image and record else None,
        "size_bytes": record.size_bytes if (archive or desired.image) and record else None,
        "sha256": record.sha256 if archive and record else None,
        "checkpointed_at": record.checkpointed_at if record else None,
        "pre_checkpoint": record.pre_dump if record else desired.options.pre_checkpoint,
        "parent": _parent_path(archive, record),
        "runtime": container.runtime if container else (record.runtime if record else None),
    }


def _parent_path(archive: str | None, record: Record | None) -> str | None:
    if archive is None or record is None or not record.parent:
        return None
    # Few checkpoints have one: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._store.chain import previous_path

    return previous_path(archive, record) or None
