# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the images of the checkpoint in a store that a restore takes, after what a killed task has left is settled."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._process.locks import hold_store, hold_stored
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._process.settle import Found, settle
from ansible_collections.criu.hosts.plugins.module_utils._process.stored import choose, end_left, on_parents
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun, read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import begun_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def look_in_store(ctx: Context, held: ExitStack, options: ProcessOptions) -> tuple[ProcessOptions, Begun | None, Found]:
    """Returns the options with the path of the wanted images, what has begun, and what is there after the steps.

    A dump that was cut off comes first: what it has saved may be the wanted checkpoint.

    Raises:
        CheckpointError: busy, checkpoint_missing, checkpoint_damaged, store_unreadable, and those of ``settle``.
    """
    hold_store(ctx, held, options.images_path)
    hold_stored(ctx, held, (options.images_path,))
    cut_off = read_begun(begun_path(options.images_path))
    left = end_left(options, settle(ctx, options, cut_off))
    stored, passed = choose(options, left.completed)
    own = replace(options, images_path=stored.part("images"))
    hold_stored(ctx, held, (one.part("images") for one in (stored, *stored.parents)))
    if left.completed is not None and left.completed.stored is stored:
        images = on_parents(stored, left.images)
        return own, cut_off, replace(left, images=images, stored=stored, passed=passed)
    begun = read_begun(begun_path(own.images_path))
    found = settle(ctx, own, begun)
    said = " ".join(one for one in (left.said, found.said) if one)
    found = replace(found, steps=(*left.steps, *found.steps), said=said, completed=left.completed)
    images = on_parents(stored, found.images)
    return own, begun or cut_off, replace(found, images=images, stored=stored, passed=passed)
