# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Restores a container for a task: under its locks, after what an earlier task has left is settled."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.held import held
from ansible_collections.criu.hosts.plugins.module_utils._container.request import (
    RESTORE_FLAGS,
    Desired,
    require_abilities,
)
from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore, carry_out, proof_word, view
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import (
    Situation,
    demand_place_record,
    place_record,
    source_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled, settle
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome, Plan
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import permissive_warning, read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path, partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def restore(ctx: Context, engine: Engine, desired: Desired) -> Outcome:
    """Restores a container, in place or from an archive, unless it runs already."""
    require_abilities(engine, desired)
    engine.require_caller(f"restore container {desired.name!r}")
    asked = desired.options.publish or any(getattr(desired.options, flag) for flag in RESTORE_FLAGS)
    if asked or (desired.new_name and desired.place is None):
        # Few tasks have these: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.restore_options import (
            require_restore_options,
        )

        require_restore_options(ctx, engine, desired)
    if desired.archive_path is not None:
        check_path(desired.archive_path)
    if desired.image is not None:
        engine.images.require(ctx, f"restore container {desired.target!r} from {desired.image!r}")
    with held(ctx, engine, desired, importing=desired.place is not None) as found:
        settled = settle(ctx, engine, found, "restore")
        return settled.before(lambda: _restore(ctx, engine, _located(found.desired, settled), settled))


def _located(desired: Desired, settled: Settled) -> Desired:
    if desired.store is None:
        return desired
    # Few tasks have a store: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.stored import restored_from

    return restored_from(desired, settled)


def _read(engine: Engine, ctx: Context, desired: Desired, settled: Settled) -> Situation:
    """Reads what the restore starts from. What this task has completed is known in check mode, too."""
    container, path = settled.container, desired.archive_path
    if desired.image is not None:
        # Few restores are from an image: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.restore_image import read_situation

        return read_situation(ctx, engine, desired, settled)
    if path is not None:
        # A restore in place need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.restore_archive import read_archived

        record = settled.archived.get(path)
        if record is None or record.name != desired.name or record.pre_dump:
            record = read_archived(engine, desired, path)
    else:
        record = settled.record
        if record is None and container is not None:
            # Without it, a restore would prove less; if the container runs already, there is none.
            record = (place_record if container.running else demand_place_record)(ctx.paths, container)
    return Situation(container, record, read_selinux(ctx.paths))


def _ready(
    engine: Engine,
    ctx: Context,
    desired: Desired,
    settled: Settled,
    situation: Situation,
    source: str,
    before: tuple[CheckpointError, ...] = (),
) -> Situation:
    """Refuses a restore that would fail; in check mode, an archive to be completed still has its partial name.

    ``before``: why the name is taken, if it is.
    """
    # A container that runs already needs no look at the host.
    from ansible_collections.criu.hosts.plugins.module_utils._container.preflight import preflight

    path = desired.archive_path
    now = settled.found_at.get(path, partial_path(path)) if path is not None else ""
    if path in settled.archived and os.path.exists(now):
        desired = replace(desired, archive_path=now)
    return preflight(ctx, engine, desired, situation, source, before)


def _source(ctx: Context, engine: Engine, desired: Desired, settled: Settled, situation: Situation) -> str:
    """Returns the source; if the name of an import is taken, the failure says all that would fail after that, too."""
    if _is_settled(settled, situation):
        return "nowhere"
    try:
        return source_of(ctx.paths, engine, desired, situation)
    except CheckpointError as error:
        if desired.origin is not None:
            _ready(engine, ctx, desired, settled, situation, "image" if desired.image else "archive", (error,))
        raise


def _is_settled(settled: Settled, situation: Situation) -> bool:
    """Returns whether this very archive was restored before: check mode has no note of it on disk."""
    proved, record = settled.proved, situation.record
    if proved is None or not proved.imports or record is None:
        return False
    return bool(record.sha256) and record.sha256 == proved.situation.sha256


def _restore(ctx: Context, engine: Engine, desired: Desired, settled: Settled) -> Outcome:
    situation = _read(engine, ctx, desired, settled)
    source = _source(ctx, engine, desired, settled, situation)
    if source != "nowhere":
        situation = _ready(engine, ctx, desired, settled, situation, source)
    work = Restore(ctx, engine, desired, situation, source)
    if source == "nowhere" and settled.held.note is not None:
        work = settled.proved or work
        state = {"name": desired.target, "state": "running"}
        plan = Plan(before=state, after=state)
    else:
        plan = carry_out(work)
    warnings: tuple[str, ...] = ()
    if work.container is not None:
        storage = engine.storage_warnings(situation.selinux.enabled)
        warnings = (*storage, *permissive_warning(situation.selinux, "restore"))
        if work.wrong is not None:
            warnings = (*warnings, work.wrong.message)
        if work.container.health is not None:
            from ansible_collections.criu.hosts.plugins.module_utils._container.restore_health import unplanned

            warnings = (*warnings, *unplanned(work))
    if source == "container":
        # A container that runs already need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import ran_on_warning

        warnings = (*ran_on_warning(situation.container, situation.record), *warnings)
    warnings = (*warnings, *(one for one in work.warnings if one not in settled.warnings))
    facts = {"statistics": work.statistics, **work.label_facts, "label_proof": proof_word(work)}
    return Outcome("restore", view(work.container or situation.container, desired, source), plan, facts, warnings)
