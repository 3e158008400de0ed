# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes a checkpoint of a running container in a store, and reads it again to compare its digests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._container.checkpoint import checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import stream_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import (
    MANIFEST,
    Stored,
    read_stored,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_store_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import Schedule


@dataclass(frozen=True)
class Made:
    """A checkpoint, with what the engine printed, and warnings.

    ``new``: this run has made it. Otherwise the container does not run, and the checkpoint has its last state.
    """

    stored: Stored
    new: bool
    statistics: dict[str, Any]
    warnings: tuple[str, ...]


def make(ctx: Context, engine: Engine, schedule: Schedule) -> Made:
    """Makes a checkpoint of the container, which runs on; one that has ended may have a checkpoint of its last state.

    Raises:
        CheckpointError: as container_checkpoint.
    """
    check_store_path(schedule.store)
    desired = Desired(
        schedule.name, None, schedule.options, store=schedule.store, when="always", why="checkpoint_schedule"
    )
    outcome = checkpoint(ctx, engine, desired)
    stored = read_stored(schedule.store, "container", schedule.name, outcome.value["checkpoint_id"])
    new = outcome.plan.before["checkpoint"] != "current"
    return Made(stored, new, dict(outcome.facts["statistics"]), outcome.warnings)


def verify(made: Made) -> None:
    """Compares the digest of each part of a checkpoint with its manifest, as the disk has it.

    Raises:
        CheckpointError: checkpoint_damaged.
    """
    stored, fault = made.stored, made.stored.fault
    for part in stored.manifest.parts if stored.manifest is not None else ():
        if not fault and disk_sha256(stored.part(part.name)) != part.sha256:
            fault = f"the SHA-256 of its part {part.name!r} is not the one in its {MANIFEST}"
    if fault:
        when = ", which was just made" if made.new else ""
        raise CheckpointError(
            f"Cannot use the checkpoint {stored.path!r}{when}: {fault}. Check the disk.",
            reason="checkpoint_damaged",
            path=stored.path,
        )


def disk_sha256(path: str) -> str:
    """Returns the digest of a file that was just written, read from the disk again as far as the kernel permits."""
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())  # only clean pages can be dropped
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return stream_sha256(handle)
