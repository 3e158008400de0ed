# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Completes an image whose task has died or failed, or removes what cannot become one."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.notes import known_record
from ansible_collections.criu.hosts.plugins.module_utils._core.durations import seconds_of
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._store.image_record import (
    image_record_path,
    read_image_record,
    temporary_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


@dataclass(frozen=True)
class Ended:
    """The steps that end an unfinished image; ``record`` is that of the image which is complete."""

    steps: tuple[Step, ...]
    record: Record | None = None


def end_image(ctx: Context, engine: Engine, name: str, known: Record | None, since: float, old_id: str) -> Ended:
    """Decides about an image that was begun at ``since`` (seconds since 1970): it has its name only if it is complete.

    ``known`` is the record from before the dump, ``old_id`` the id of the image that had the name then.
    """
    folder = temporary_path(ctx.paths, name)
    steps: tuple[Step, ...] = ()
    if os.path.lexists(folder):
        steps = (Remove(folder, why="remove the temporary files of the unfinished image"),)
    if known is None:
        return Ended(steps)
    steps = (*steps, *engine.images.leftover_steps(known.id, since))
    found = engine.images.named(ctx, name)
    made = seconds_of(found.created_at) if found is not None else None
    if found is None or found.id == old_id or made is None or made < int(since):
        return Ended(steps)
    drop = engine.images.drop_steps(old_id, "remove the old image") if old_id else ()
    written, unusable = attempt("read the record", lambda: _written(ctx, name, found.id))
    if unusable is None and written is not None:
        return Ended((*steps, *drop), written)
    described, unread = attempt("read the image", lambda: engine.images.describe(found))
    if unread is not None or described.id != known.id:
        return Ended(steps)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made))
    record = replace(known, checkpointed_at=at, size_bytes=found.size_bytes, sha256=found.id)
    path = image_record_path(ctx.paths, name)
    write = (
        MakeDir(os.path.dirname(path), why="make the folder"),
        WriteFile(path, render_record(record), why="write the record"),
    )
    return Ended((*steps, *write, *drop), record)


def _written(ctx: Context, name: str, identity: str) -> Record | None:
    try:
        return read_image_record(ctx.paths, name, identity)
    except ValueError:
        return None


def settle_image(settled: Settled, note: Begun) -> None:
    """Settles the image of a task that has died."""
    facts, box = note.facts, settled.container
    known = known_record(settled.ctx.paths, note.thing)
    if known is not None and box is not None and box.id == known.id and not box.alive:
        known = replace(known, stamp=box.stamp)
    since, name = float(facts.get("since") or 0), facts["image"]
    ended = end_image(settled.ctx, settled.engine, name, known, since, facts.get("old_image", ""))
    settled.do(*ended.steps)
    if ended.record is not None:
        settled.archived[name] = ended.record
    if ended.record is not None and ended.steps:
        settled.warn(
            f"An earlier task died when it made the image {name!r} of container {ended.record.name!r}. This task has "
            "completed the image and its record."
        )
