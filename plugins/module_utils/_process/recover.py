# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Ends a failed checkpoint: brings the process back if only its images are left, and cleans up."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._host.process import is_alive
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint_steps import Dump
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import restored_by
from ansible_collections.criu.hosts.plugins.module_utils._process.failure import read_failure
from ansible_collections.criu.hosts.plugins.module_utils._process.options import log_path
from ansible_collections.criu.hosts.plugins.module_utils._process.restore import preflight
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_steps import Restored, restore_steps
from ansible_collections.criu.hosts.plugins.module_utils._process.settle import tidy_steps
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import end_step
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    begun_path,
    inventory_hash,
    read_images,
    work_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord, parse_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path, unsafe

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def recover(ctx: Context, work: Dump, error: CheckpointError) -> CheckpointError:
    """Brings the process back if only its images are left, and cleans up. Returns the failure that the task reports."""
    path, partial = work.options.images_path, partial_path(work.options.images_path)
    # The log has to be read first: it is removed to make room for a restore.
    failure = read_failure(ctx.paths, error, path, "checkpoint", (work.criu.path,))
    failures: list[str] = []
    keep = False
    if is_alive(ctx.paths, *work.process.identity):
        state, outcome = "running", "It keeps running."
    elif not inventory_hash(partial):
        state, outcome = "absent", "It is not running any more."
        images = read_record(path)
        if images is not None and (images.pid, images.start, images.boot) == work.process.identity:
            state, outcome = "checkpointed", f"It is stopped in {path!r}."
    else:
        state, outcome, keep = bring_back(ctx, work, failures)
    if not keep:
        dummy, second = attempt("clean up", lambda: ctx.apply(Plan(steps=cleanup_steps(path))))
        failures += [second.message] if second is not None else []
    told = failure.told(f"checkpoint {work.process.text}", outcome)
    told.facts["process_state"] = state
    if failures:
        told.facts.setdefault("cleanup_failed", []).extend(failures)
    if not os.path.exists(log_path(path, "checkpoint")):
        told.facts["log_path"] = ""
    return told


def read_record(path: str) -> ProcessRecord | None:
    """Returns the record of the images, if there are any."""
    images, dummy = attempt("read the images", lambda: read_images(path))
    return images.record if images is not None else None


def bring_back(ctx: Context, work: Dump, failures: list[str]) -> tuple[str, str, bool]:
    """Restores the process from the partial images.

    Returns its state, a sentence on it, and whether the images and notes have to stay for the next task.
    """
    partial = partial_path(work.options.images_path)
    back: Restored | None = None
    try:
        images = read_images(partial)
        if images is None:
            raise unsafe(partial, "it is missing", "Find out what removed it.")
        options = replace(work.options, images_path=partial, parent_path=None, off=frozenset())
        restore = preflight(ctx, replace(images, record=parse_record(work.record())), options)
        back = Restored(restore, ctx.runner)
        # The disk may be full.
        remove_log = Remove(log_path(work.options.images_path, "checkpoint"), why="remove the log")
        free = Remove(work_path(partial), why="free the room for the restore")
        ctx.apply(Plan(steps=(remove_log, free, *restore_steps(back))))
    except CheckpointError as error:
        failures.append(error.message)
        if back is not None and back.proof.proved:
            return "running", "It was brought back from its images and keeps running.", False
        if back is not None and runs(ctx, back):
            return "running", f"It was brought back from {partial!r} and runs, but not proved: {error.message}", True
        return "checkpointed", f"It is stopped in {partial!r} and could not be brought back: {error.message}", True
    return "running", "It was brought back from its images and keeps running.", False


def runs(ctx: Context, back: Restored) -> bool:
    """Returns whether CRIU has restored the process, although a later step failed."""
    work = back.work
    process, unclear = attempt("find the process", lambda: restored_by(ctx.paths, work.begun(since="0"), work.images))
    return process is not None or unclear is not None


def cleanup_steps(path: str) -> tuple[Step, ...]:
    """Plans the removal of the partial images, the return of the replaced ones, and the end of the note."""
    return (*tidy_steps(path), end_step(begun_path(path)))
