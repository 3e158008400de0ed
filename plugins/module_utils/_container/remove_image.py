# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Removes the image of a checkpoint with its record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.restore_image import mismatch
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._store.image_record import image_record_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def plan_remove_image(ctx: Context, engine: Engine, desired: Desired) -> Plan:
    """Plans to remove the image: its annotation says which container it holds.

    Raises:
        CheckpointError: archive_mismatch, it holds a different container, or none.
    """
    name = desired.image or ""
    found = engine.images.named(ctx, name)
    if found is not None and not found.container:
        raise CheckpointError(
            f"Cannot remove the image {name!r}: it holds no checkpoint. Give the image of one, or remove it by hand.",
            reason="archive_mismatch",
        )
    if found is not None and found.container != desired.name:
        raise mismatch(desired, "remove the checkpoint of", found.container)
    steps: tuple[Step, ...] = ()
    if found is not None:
        steps = engine.images.remove_steps(name, "remove the checkpoint")
    record = image_record_path(ctx.paths, name)
    if os.path.lexists(record):
        steps = (*steps, Remove(record, why="remove the record"))
    there = "present" if found is not None else "absent"
    return Plan(before={"image": there}, after={"image": "absent"}, steps=steps)
