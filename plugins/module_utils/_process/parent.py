# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the images that a dump is to be based on, and refuses those that CRIU would accept, but lose memory with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint_steps import Based
from ansible_collections.criu.hosts.plugins.module_utils._process.tracking import (
    images_word,
    tracked_since,
    tracking_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, check_parents, read_images
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_images_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
    from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions


def folder_base(ctx: Context, options: ProcessOptions, process: Process) -> Based:
    """Returns what a dump is based on that tracks memory; a pre-dump need not have parent images.

    Raises:
        CheckpointError: images_path_unsafe, and those of ``judge_parent``.
    """
    path, note = options.parent_path, tracking_path(ctx, process)
    if path is None:
        return Based(options, tracking=note)
    check_images_path(path)
    return Based(options, judge_parent(ctx, path, read_images(path), process), tracking=note)


def judge_parent(ctx: Context, path: str, parent: Images | None, process: Process) -> Images:
    """Returns the parent images; refuses those that are not of the moment since which changes are tracked.

    Raises:
        CheckpointError: parent_invalid, and those of ``check_parents``.
    """
    record = parent.record if parent else None
    why, advice = "", "Create them with pre_dump first."
    if parent is None or record is None:
        why = "the folder has no images of process_checkpoint"
    elif (record.pid, record.start, record.boot) != process.identity:
        why = f"they are of a process other than {process.text}, or of an earlier one with the same id"
    elif not record.pre_dump and not record.parent:
        why = "they are not a pre-dump, so changes of memory were not tracked since"
    elif tracked_since(ctx, process) not in (None, images_word(parent.path)):
        why = "a dump of the process began since, and changes of memory before it are not tracked any more"
        advice = "Make a new pre-dump first (pre_dump, when: always)."
    if why or parent is None:
        raise CheckpointError(
            f"Cannot base a checkpoint on the parent images {path!r}: {why}. {advice}",
            reason="parent_invalid",
            path=path,
        )
    check_parents(parent)
    return parent
