# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Removes a checkpoint: an archive with its record, or the files in place; never the container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.checkpoint import view
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan, Remove
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record
from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_record_path, record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path, partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def remove(ctx: Context, engine: Engine, desired: Desired) -> Outcome:
    """Removes a checkpoint (state: absent)."""
    engine.require_caller(f"remove the checkpoint of container {desired.name!r}")
    container = None
    if desired.archive_path is not None:
        plan = _plan_remove_archive(desired)
    else:
        container = engine.inspect(ctx, desired.name)
        plan = _plan_remove_place(ctx.paths, engine, desired, container)
    ctx.apply(plan)
    value = view(desired, container, None, container.status if container else "absent")
    return Outcome("checkpoint", value, plan, {"statistics": {}})


def _plan_removal(kind: str, paths: tuple[str, ...]) -> Plan:
    there = tuple(path for path in paths if os.path.lexists(path))
    steps = tuple(Remove(path, why="remove the checkpoint") for path in there)
    return Plan(before={kind: "present" if there else "absent"}, after={kind: "absent"}, steps=steps)


def _plan_remove_archive(desired: Desired) -> Plan:
    path = desired.archive_path or ""
    check_path(path)
    record = read_record(path)
    if record is not None and record.name != desired.name:
        raise CheckpointError(
            f"Cannot remove {path!r}: it holds container {record.name!r}, not {desired.name!r}. Give name: "
            f"{record.name}.",
            reason="archive_mismatch",
        )
    return _plan_removal("archive", (path, record_path(path), partial_path(path)))


def _plan_remove_place(paths: Paths, engine: Engine, desired: Desired, container: Container | None) -> Plan:
    if container is None:
        return Plan(before={"checkpoint": "absent"}, after={"checkpoint": "absent"})
    if container.checkpointed and not container.running:
        raise CheckpointError(
            f"Cannot remove the checkpoint of container {desired.name!r}: it is the only copy of the container's "
            "state. Restore it first, or remove the container.",
            reason="checkpoint_in_use",
        )
    files = engine.checkpoint_files(container)
    if not container.stamp:
        # A dump that failed has left images with memory in them; its log is to be read.
        files = tuple(path for path in files if os.path.isdir(path))
    return _plan_removal("checkpoint", (*files, place_record_path(paths, container.id)))
