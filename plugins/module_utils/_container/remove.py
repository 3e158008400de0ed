# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Removes a checkpoint: an archive with its record, or the files in place; never the container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.checkpoint import view
from ansible_collections.criu.hosts.plugins.module_utils._container.held import held
from ansible_collections.criu.hosts.plugins.module_utils._container.notes import begin, end, removal
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled, settle
from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import is_in_checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, place_record_path, record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path, partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def remove(ctx: Context, engine: Engine, desired: Desired) -> Outcome:
    """Removes a checkpoint (state: absent)."""
    engine.require_caller(f"remove the checkpoint of container {desired.name!r}")
    if desired.archive_path is not None:
        check_path(desired.archive_path)
    if desired.image is not None:
        engine.images.require(ctx, f"remove the image {desired.image!r}")
    with held(ctx, engine, desired) as found:
        settled = settle(ctx, engine, found, "absent")
        return settled.before(lambda: _remove(ctx, engine, found.desired, settled))


def _remove(ctx: Context, engine: Engine, desired: Desired, settled: Settled) -> Outcome:
    container = settled.container
    if desired.image is not None:
        # Few tasks have an image: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.remove_image import plan_remove_image

        plan, shown = plan_remove_image(ctx, engine, desired), container
    elif desired.archive_path is not None:
        plan = _plan_remove_archive(desired, settled)
        shown = None
    else:
        plan = _plan_remove_place(ctx.paths, engine, desired, None if settled.removed else container, settled.record)
        shown = container
    ctx.apply(plan)
    value = view(desired, shown, None, shown.status if shown else "absent")
    return Outcome("checkpoint", value, plan, {"statistics": {}, "restore_risks": []})


def _changes(kind: str, paths: tuple[str, ...], steps: tuple[Step, ...]) -> Plan:
    return Plan(before={kind: "present" if paths else "absent"}, after={kind: "absent"}, steps=steps)


def _plan_remove_archive(desired: Desired, settled: Settled) -> Plan:
    path = desired.archive_path or ""
    completed = settled.archived.get(path)
    record = completed or read_record(path)
    if record is not None and record.name != desired.name:
        raise CheckpointError(
            f"Cannot remove {path!r}: it holds container {record.name!r}, not {desired.name!r}. Give name: "
            f"{record.name}.",
            reason="archive_mismatch",
        )
    if completed is not None and settled.container is None:
        raise CheckpointError(
            f"Cannot remove {path!r}: an earlier task died when it wrote it. It is complete now, and the only copy of "
            f"the state of container {desired.name!r}. Restore it, or run this task again to remove it.",
            reason="checkpoint_in_use",
        )
    if record is not None and record.pre_dump:
        # Few archives are those of pre-checkpoints: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.chain import require_replaceable

        require_replaceable(path, desired.name, settled.archived)
    there = tuple(one for one in (path, record_path(path), partial_path(path)) if os.path.lexists(one))
    return _changes("archive", there, tuple(Remove(one, why="remove the checkpoint") for one in there))


def _plan_remove_place(
    paths: Paths, engine: Engine, desired: Desired, container: Container | None, record: Record | None
) -> Plan:
    if container is None:
        return Plan(before={"checkpoint": "absent"}, after={"checkpoint": "absent"})
    if is_in_checkpoint(paths, container, record):
        raise CheckpointError(
            f"Cannot remove the checkpoint of container {desired.name!r}: it is the only copy of the container's "
            "state. Restore it first, or remove the container.",
            reason="checkpoint_in_use",
        )
    files = engine.checkpoint_files(container)
    if not container.stamp:
        # A dump that failed has left images with memory in them; its log is to be read.
        files = tuple(path for path in files if os.path.isdir(path))
    there = tuple(path for path in (*files, place_record_path(paths, container.id)) if os.path.lexists(path))
    if not there:
        return _changes("checkpoint", (), ())
    facts = {"id": container.id, "stamp": container.stamp}
    steps = (
        *begin(paths, "removing", container.name, None, facts),
        *removal(engine, container, there, container.stamp, "remove the checkpoint"),
        *end(paths, container.name),
    )
    return _changes("checkpoint", there, steps)
