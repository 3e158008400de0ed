# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out whether the image of a checkpoint is there, and of this run of the container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.this_run import Known, is_of_this_run
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.image_record import read_image_record

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import CheckpointImage
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def known_image(desired: Desired, settled: Settled) -> Known:
    """Returns the checkpoint in the image with this name.

    Raises:
        CheckpointError: image_exists, it is not one that this module has made of this container.
    """
    ctx, name = settled.ctx, desired.image or ""
    found = settled.engine.images.named(ctx, name)
    if found is None:
        return Known(False, None)
    record = settled.archived.get(name) or _record(ctx, found)
    if record is None or record.name != desired.name:
        holds = f"it holds container {record.name!r}" if record else "this host has no record that it made it"
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r} to the image {name!r}: there is one of that name, and "
            f"{holds}. Give another name, or remove the image first.",
            reason="image_exists",
        )
    return Known(is_of_this_run(ctx.paths, settled.container, record), record)


def _record(ctx: Context, found: CheckpointImage) -> Record | None:
    try:
        return read_image_record(ctx.paths, found.name, found.id)
    except ValueError:
        return None
