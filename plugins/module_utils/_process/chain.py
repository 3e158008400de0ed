# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds and proves the checkpoints of a store that others are built on: pre-dumps, and dumps based on these.

The manifests say which those are. CRIU follows a link in the folder of images (criu/image.c, criu/pagemap.c), which no
digest covers: so that link counts for nothing, and is made as the manifests say before CRIU reads it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Link, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint_steps import Based
from ansible_collections.criu.hosts.plugins.module_utils._process.parent import judge_parent
from ansible_collections.criu.hosts.plugins.module_utils._process.stored import (
    all_of,
    digests,
    on_parents,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.tracking import tracking_path
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import LATEST, Stored, unusable
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import read_images

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
    from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
    from ansible_collections.criu.hosts.plugins.module_utils._process.settle import Kept

# CR_PARENT_LINK in criu/include/image.h.
PARENT = "parent"


def _named(options: ProcessOptions, found: list[Stored]) -> list[Stored]:
    """Returns the checkpoint that the option ``parent`` names, if there is one.

    The latest is the newest that lets CRIU track changes of memory, or may do so. An older one cannot replace one that
    is damaged, since no changes before that are tracked any more.
    """
    if options.parent != LATEST:
        return [one for one in found if one.id == options.parent]
    return [one for one in found if one.manifest is None or one.pre_dump or one.manifest.parent][:1]


def stored_base(ctx: Context, options: ProcessOptions, completed: Kept | None, process: Process) -> Based:
    """Returns what the new checkpoint is to be built on; refuses what cannot be its parent, or is damaged.

    Raises:
        CheckpointError: parent_invalid, checkpoint_missing, checkpoint_damaged, store_unreadable.
    """
    found = all_of(options, completed)
    named = _named(options, found)
    if not named:
        which = "no pre-dump of it" if options.parent == LATEST else f"no checkpoint {options.parent!r} of it"
        raise CheckpointError(
            f"Cannot build a checkpoint of process {options.name!r} on another: the store {options.store!r} has "
            f"{which}. Make one with pre_dump first.",
            reason="checkpoint_missing",
            path=options.store,
        )
    [stored], advice = named, "Make a new pre-dump first (pre_dump, when: always)."
    if stored.fault:
        raise unusable(stored.path, stored.fault, advice)
    require_chain(stored, completed, advice)
    path = stored.part("images")
    # In check mode, a checkpoint that this task completes is not in its place.
    now = path if os.path.lexists(path) else options.images_path
    images = judge_parent(ctx, path, on_parents(stored, read_images(now)), process)
    options = replace(options, parent=stored.id, parent_path=path)
    return Based(options, images, link_steps(stored, now), tracking_path(ctx, process))


def parent_images(options: ProcessOptions) -> tuple[str, ...]:
    """Returns the images that the new checkpoint is to be built on; none if there are none, which its dump refuses."""
    named = _named(options, all_of(options))
    return tuple(each.part("images") for one in named for each in (one, *one.parents))


def require_chain(stored: Stored, completed: Kept | None, *advice: str) -> None:
    """Refuses a checkpoint if its images, or those that it is built on, are not those in the manifests.

    The one that this very task completes has no manifest yet in check mode, and was read just now otherwise.
    ``advice``: what to do in place of the usual advice.

    Raises:
        CheckpointError: checkpoint_damaged.
    """
    for one in (stored, *stored.parents):
        fault = _fault(one) if completed is None or completed.stored is None or completed.stored.id != one.id else ""
        if fault:
            raise unusable(one.path, fault, *advice)


def _fault(stored: Stored) -> str:
    """Returns how the images of a checkpoint differ from its manifest; empty if they do not."""
    known = {part.name: part.sha256 for part in stored.manifest.parts} if stored.manifest is not None else {}
    images = stored.part("images")
    if os.path.islink(images):
        return "its folder 'images' is a symbolic link"
    try:
        found = digests(images)
        strange = sorted(set(os.listdir(images)) - {os.path.basename(name) for name in found} - set(_links(images)))
    except OSError as error:
        return f"its images cannot be read ({error.strerror})"
    wrong = sorted(name for name in {*known, *found} if known.get(name) != found.get(name))
    wrong += [f"images/{name}" for name in strange]
    return f"its part {wrong[0]!r} is not the one in its manifest" if wrong else ""


def _links(images: str) -> tuple[str, ...]:
    """Returns the link ``parent`` if there is one: wherever it leads, it is made as the manifest says."""
    return (PARENT,) if os.path.islink(os.path.join(images, PARENT)) else ()


def link_steps(stored: Stored, images: str) -> tuple[Step, ...]:
    """Plans the links by which CRIU finds the images that others are built on, as the manifests say.

    A link that is in a checkpoint itself counts for nothing. ``images``: where those of this one are now; in check
    mode, a checkpoint that is to be completed is not in its place.
    """
    steps: list[Step] = []
    for one, now in ((stored, images), *((each, each.part("images")) for each in stored.parents)):
        parent = one.manifest.parent if one.manifest is not None else ""
        path, wanted = os.path.join(one.part("images"), PARENT), f"../../{parent}/images" if parent else ""
        found = os.readlink(os.path.join(now, PARENT)) if _links(now) else ""
        if found != wanted and wanted:
            steps.append(Link(path, wanted, why="link the images to those that they are built on at"))
        elif found != wanted:
            steps.append(Remove(path, why="remove the link to other images"))
    return tuple(steps)
