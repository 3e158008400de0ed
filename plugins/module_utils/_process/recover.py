# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Ends a failed checkpoint: brings the process back if only its images are left, and cleans up."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan, Remove, Rename, Step
from ansible_collections.criu.hosts.plugins.module_utils._host.process import is_alive
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint_steps import Dump
from ansible_collections.criu.hosts.plugins.module_utils._process.failure import read_failure
from ansible_collections.criu.hosts.plugins.module_utils._process.options import log_path
from ansible_collections.criu.hosts.plugins.module_utils._process.restore import preflight
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_steps import Restored, restore_steps
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    inventory_hash,
    old_path,
    read_images,
    work_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import parse_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path, unsafe

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def recover(ctx: Context, work: Dump, error: CheckpointError) -> CheckpointError:
    """Brings the process back if only its images are left, and cleans up. Returns the failure that the task reports."""
    path, partial = work.options.images_path, partial_path(work.options.images_path)
    # The log has to be read first: it is removed to make room for a restore.
    failure = read_failure(ctx.paths, error, path, "checkpoint", (work.criu.path,))
    failures: list[str] = []
    if is_alive(ctx.paths, *work.process.identity):
        state, outcome = "running", "It keeps running."
    elif not inventory_hash(partial):
        state, outcome = "absent", "It is not running any more."
    else:
        state, outcome = bring_back(ctx, work, failures)
    try:
        ctx.apply(Plan(steps=cleanup_steps(path, keep=state == "checkpointed")))
    except CheckpointError as second:
        failures.append(second.message)
    told = failure.told(f"checkpoint {work.process.text}", outcome)
    told.facts["process_state"] = state
    if failures:
        told.facts.setdefault("cleanup_failed", []).extend(failures)
    if not os.path.exists(log_path(path, "checkpoint")):
        told.facts["log_path"] = ""
    return told


def bring_back(ctx: Context, work: Dump, failures: list[str]) -> tuple[str, str]:
    """Restores the process from the partial images. Returns its state, and a sentence on it."""
    partial = partial_path(work.options.images_path)
    back: Restored | None = None
    try:
        images = read_images(partial)
        if images is None:
            raise unsafe(partial, "it is missing", "Find out what removed it.")
        options = replace(work.options, images_path=partial, parent_path=None)
        restore = preflight(ctx, replace(images, record=parse_record(work.record())), options)
        back = Restored(restore, ctx.runner)
        # The disk may be full.
        remove_log = Remove(log_path(work.options.images_path, "checkpoint"), why="remove the log")
        ctx.apply(Plan(steps=(remove_log, *restore_steps(back))))
    except CheckpointError as error:
        failures.append(error.message)
        if back is None or not back.proved:
            return "checkpointed", f"It is stopped in {partial!r} and could not be brought back: {error.message}"
    return "running", "It was brought back from its images and keeps running."


def cleanup_steps(path: str, *, keep: bool) -> tuple[Step, ...]:
    """Plans the removal of the partial images, unless they are to be kept, and the return of the replaced ones."""
    partial, old = partial_path(path), old_path(path)
    why = "remove what is left of the checkpoint"
    return (
        *(() if keep else (Remove(partial, why=why), Remove(work_path(partial), why=why))),
        *(
            (Rename(old, path, why="put back the old images at", always=True),)
            if os.path.isdir(old) and not os.path.lexists(path)
            else ()
        ),
    )
