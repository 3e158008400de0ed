# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the image that a container is restored from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import Situation
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.image_record import (
    image_record_path,
    read_image_record,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import CheckpointImage
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def read_situation(ctx: Context, engine: Engine, desired: Desired, settled: Settled) -> Situation:
    """Reads what a restore from an image starts from.

    What the image says about itself is read even if there is a record: it is what the engine will restore.

    Raises:
        CheckpointError: checkpoint_missing, archive_invalid, archive_mismatch, in_pod, has_dependencies.
    """
    image = demand_image(ctx, engine, desired)
    own = engine.images.describe(image)
    record = settled.archived.get(image.name) or _record(ctx.paths, image)
    if record is not None and (record.id, record.name) != (own.id, own.name):
        raise invalid(image.name, "its record is of a different container", "Remove the image, and make it again.")
    if own.name != desired.name:
        raise mismatch(desired, "restore", own.name, "and new_name for another name")
    record = record or replace(own, size_bytes=image.size_bytes, sha256=image.id)
    return Situation(settled.container, record, read_selinux(ctx.paths), image=image)


def demand_image(ctx: Context, engine: Engine, desired: Desired) -> CheckpointImage:
    """Returns the image with the name in the options.

    Raises:
        CheckpointError: checkpoint_missing.
    """
    found = engine.images.named(ctx, desired.image or "")
    if found is None:
        raise CheckpointError(
            f"Cannot restore container {desired.target!r} from {desired.image!r}: there is no such image on this host. "
            "Make it with container_checkpoint (create_image), or pull it.",
            reason="checkpoint_missing",
        )
    return found


def mismatch(desired: Desired, verb: str, name: str, more: str = "") -> CheckpointError:
    """Returns the failure for an image with a different container in it."""
    return CheckpointError(
        f"Cannot {verb} container {desired.name!r} from {desired.image!r}: the image holds container {name!r}. Give "
        f"name: {name}{', ' if more else ''}{more}.",
        reason="archive_mismatch",
    )


def _record(paths: Paths, image: CheckpointImage) -> Record | None:
    try:
        return read_image_record(paths, image.name, image.id)
    except ValueError as error:
        why = f"its record {image_record_path(paths, image.name)!r} cannot be used: {error}"
        advice = "Remove the record to restore without comparing the label of each thread."
        raise invalid(image.name, why, advice) from error
