# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Removes images, but never the only copy of a process that nobody has been shown."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._host.process import boot_id
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint import view
from ansible_collections.criu.hosts.plugins.module_utils._process.locks import hold_images, hold_units
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._process.settle import (
    Found,
    boolean_steps,
    left_steps,
    refuse_partial,
    settle,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun, begin_steps, read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import begun_path, old_path, work_path
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def removal_steps(ctx: Context, path: str) -> tuple[Step, ...]:
    """Plans the removal; the folder of the note is the last to go."""
    there = [one for one in (path, partial_path(path), old_path(path), work_path(path)) if os.path.lexists(one)]
    if not there:
        return ()
    work = work_path(path)
    return (
        *begin_steps(begun_path(path), Begun("removing", path, boot_id(ctx.paths))),
        *(Remove(one, why="remove the images") for one in there if one != work),
        Remove(work, why="remove the logs"),
    )


def refuse_saved(path: str, found: Found) -> None:
    """Refuses to remove images that this task has just put in place.

    Raises:
        CheckpointError: images_partial.
    """
    if found.saved and found.images is not None:
        raise CheckpointError(
            f"Cannot remove {path!r}: {found.said} It may be the only copy of {found.images.text}. Restore it, or run "
            "this task again to remove it.",
            reason="images_partial",
            path=path,
        )


def remove(ctx: Context) -> Outcome:
    """Removes the images with their record and logs, never the process."""
    options = ProcessOptions.of(ctx)
    path = options.images_path
    with ExitStack() as held:
        hold_images(ctx, held, path)
        begun = read_begun(begun_path(path))
        units = hold_units(ctx, held, (begun.facts.get("unit") if begun is not None else None,))
        state = "present" if os.path.lexists(path) else "absent"
        found = settle(ctx, options, begun)  # refuses a folder with anything else in it
        before = (*left_steps(ctx, units, begun), *boolean_steps(ctx), *found.steps)
        if before:
            ctx.apply(Plan(steps=before))
        refuse_partial(found, path, "remove")
        refuse_saved(path, found)
        steps = removal_steps(ctx, path)
        ctx.apply(Plan(steps=steps))
    plan = Plan(before={"images": state}, after={"images": "absent"}, steps=(*before, *steps))
    value = view(options, None, None, state="absent", process_state="unknown")
    return Outcome("checkpoint", value, plan, {"statistics": {}}, found.warnings)
