# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out what would keep container_restore from restoring an archive on this host, without touching anything."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._container.preflight import Look, blockers
from ansible_collections.criu.hosts.plugins.module_utils._container.request import FLAGS, Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import Situation, source_of
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_archive
from ansible_collections.criu.hosts.plugins.module_utils._store.entries import Checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._store.preflight import attempts
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path


def _options(given: Mapping[str, Any]) -> Options:
    """Returns the options of the checkpoint that a restore has, too; those in a manifest were checked by type only."""
    known: dict[str, Any] = {key: value for key, value in given.items() if key in FLAGS and isinstance(value, bool)}
    return Options(**known)


def container_blockers(ctx: Context, engine: Engine, one: Checkpoint) -> list[CheckpointError]:
    """Returns all that would make a restore of this archive fail, by the name that the container had."""
    try:
        engine.require_caller(f"restore from {one.path!r}")
        check_path(one.path)
        record = one.record if isinstance(one.record, Record) else read_archive(one.path, engine.describe_archive)
        container = engine.inspect(ctx, record.name)
    except CheckpointError as error:
        return [error]
    if record.pre_dump:
        # Few archives are: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.chain import refuse_pre_checkpoint

        return attempts([lambda: refuse_pre_checkpoint(record, one.path)])
    desired = Desired(record.name, one.path, _options(one.options))
    situation = Situation(container, record, read_selinux(ctx.paths))
    errors, source = _name_taken(ctx, engine, desired, situation)
    return errors + blockers(Look(Restore(ctx, engine, desired, situation, source)), digest=False)


def _name_taken(
    ctx: Context, engine: Engine, desired: Desired, situation: Situation
) -> tuple[list[CheckpointError], str]:
    """Returns why the name is taken, and the source of the restore."""
    try:
        source = source_of(ctx.paths, engine, desired, situation)
    except CheckpointError as error:
        return [error], "archive"
    return ([], source) if source != "nowhere" else ([_runs(desired, situation.container)], "container")


def _runs(desired: Desired, container: Container | None) -> CheckpointError:
    identity = container.id[:12] if container is not None else ""
    return CheckpointError(
        f"Cannot restore {desired.origin!r} as container {desired.target!r}: that container ({identity}) is the "
        "archived one and runs, so a restore leaves it alone. Remove it first, or give new_name.",
        reason="name_in_use",
    )
