# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checkpoints a container, unless its checkpoint is current."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Mapping, Union

from ansible_collections.criu.hosts.plugins.module_utils._container.binds import check_dump
from ansible_collections.criu.hosts.plugins.module_utils._container.consistent import (
    consistency_steps,
    runs_on_warning,
)
from ansible_collections.criu.hosts.plugins.module_utils._container.current import find_known
from ansible_collections.criu.hosts.plugins.module_utils._container.held import held
from ansible_collections.criu.hosts.plugins.module_utils._container.notes import begin, end
from ansible_collections.criu.hosts.plugins.module_utils._container.obstacles import refuse_obstacles_of
from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import RecordWriter
from ansible_collections.criu.hosts.plugins.module_utils._container.refuse import (
    refuse,
    refuse_managed,
    refuse_replacing,
)
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired, require_abilities
from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled, settle
from ansible_collections.criu.hosts.plugins.module_utils._container.space import bytes_to_write, require_space
from ansible_collections.criu.hosts.plugins.module_utils._container.this_run import Known
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Check,
    MakeDir,
    Outcome,
    Plan,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu, read_criu
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import limited
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import (
    permissive_warning,
    read_selinux,
    require_policy,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import (
    read_traces,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import (
    to_record as traces_to_record,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import read_tree, to_record
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, place_record_path, record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import (
    check_path,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.chain import Parent
    from ansible_collections.criu.hosts.plugins.module_utils._container.image_writer import ImageWriter
    from ansible_collections.criu.hosts.plugins.module_utils._container.stored import StoredWriter
    from ansible_collections.criu.hosts.plugins.module_utils._core.apply import Applied
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

    Stored = Union[StoredWriter, ImageWriter, None]


def checkpoint_steps(
    paths: Paths, desired: Desired, container: Container, writer: RecordWriter, stored: Stored = None
) -> tuple[Step, ...]:
    """Plans a checkpoint with its record. An archive has a partial name until it is complete.

    The labels are written down before the dump: after it, there is no process to read them from.
    """
    engine, path = writer.engine, desired.archive_path
    opening: tuple[Step, ...] = ()
    closing: tuple[Step, ...] = ()
    if desired.image is not None:
        # Few tasks have an image: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.image_writer import image_steps

        steps = image_steps(paths, desired, container, writer)
    elif path is None:
        steps = engine.checkpoint_steps(container, desired.options, None)
    else:
        # A checkpoint in place need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.export import (
            begin_archive,
            end_archive,
            export_steps,
        )

        steps, opening = export_steps(path, desired, container, writer), begin_archive(path, writer)
        closing = end_archive(path, desired, container, writer)
    look = Check(writer.look, why=f"find the checkpoint of container {container.name!r}")
    return (
        *begin(paths, "dumping", container.name, writer.known(), writer.facts()),
        *(() if stored is None else stored.begin()),
        *opening,
        *_before_dump(paths, desired, container, writer),
        *limited(steps, bytes_to_write(paths, container, desired.origin)),
        look,
        *consistency_steps(desired, writer),
        *_after_pre_dump(desired, writer, stored),
        *closing,
        *(() if stored is None else stored.end()),
        *_record_steps(paths, desired, container, writer),
        *end(paths, container.name),
    )


def _before_dump(paths: Paths, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    options, engine = desired.options, writer.engine
    linked = os.path.lexists(os.path.join(engine.images_dir(container), "parent"))
    if not (options.pre_checkpoint or options.with_previous or linked):
        return ()
    # Few tasks have these: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.chain import before_dump

    return before_dump(paths, engine, desired, container)


def _after_pre_dump(desired: Desired, writer: RecordWriter, stored: Stored) -> tuple[Step, ...]:
    if not desired.options.pre_checkpoint:
        return ()
    from ansible_collections.criu.hosts.plugins.module_utils._container.chain import after_pre_dump

    return after_pre_dump(writer, desired.archive_path if stored is None else stored.stored_archive)


def _record_steps(paths: Paths, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans the record of the checkpoint in place, if one stays."""
    engine, place = writer.engine, place_record_path(paths, container.id)
    if desired.options.pre_checkpoint:
        return ()
    if desired.origin is not None and (desired.options.leave_running or container.auto_remove):
        return ()

    def in_use(path: str) -> bool:
        return path not in engine.outdated_records(container)

    old = engine.outdated_records(container)
    why = "remove the record of a removed container"
    return (
        MakeDir(os.path.dirname(place), why="make the folder"),
        WriteFile(place, writer.text, why="write the record"),
        *(Remove(one, why=why, unless=partial(in_use, one)) for one in old),
    )


def view(desired: Desired, container: Container | None, record: Record | None, state: str) -> dict[str, Any]:
    """Returns the value of the key checkpoint."""
    archive = desired.archive_path if record is not None and desired.archive_path else None
    return {
        "name": desired.name,
        "id": container.id if container else (record.id if record else None),
        "state": desired.state,
        "container_state": state,
        "archive_path": desired.archive_path,
        "record_path": record_path(desired.archive_path) if desired.archive_path else None,
        "store": desired.store,
        "checkpoint_id": os.path.basename(os.path.dirname(archive)) if archive and desired.store else None,
        "image": desired.image,
        "image_id": record.sha256 if desired.image and record else None,
        "size_bytes": record.size_bytes if (archive or desired.image) and record else None,
        "sha256": record.sha256 if archive and record else None,
        "checkpointed_at": record.checkpointed_at if record else None,
        "pre_checkpoint": record.pre_dump if record else desired.options.pre_checkpoint,
        "parent": _parent_path(archive, record),
        "runtime": container.runtime if container else (record.runtime if record else None),
    }


def _parent_path(archive: str | None, record: Record | None) -> str | None:
    if archive is None or record is None or not record.parent:
        return None
    # Few checkpoints have one: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._store.chain import previous_path

    return previous_path(archive, record) or None


def checkpoint(ctx: Context, engine: Engine, desired: Desired) -> Outcome:
    """Checkpoints this run of the container unless that is done (state: present)."""
    require_abilities(engine, desired)
    engine.require_caller(f"checkpoint container {desired.name!r}")
    if desired.archive_path is not None:
        check_path(desired.archive_path)
    if desired.image is not None:
        engine.images.require(ctx, f"checkpoint container {desired.name!r} to the image {desired.image!r}")
    if desired.options.pre_checkpoint or desired.options.with_previous:
        # Few tasks have these: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.chain_options import require_chain

        require_chain(ctx, engine, desired)
    with held(ctx, engine, desired) as found:
        settled = settle(ctx, engine, found, "checkpoint")
        return settled.before(lambda: _checkpoint(ctx, engine, found.desired, settled))


def _checkpoint(ctx: Context, engine: Engine, desired: Desired, settled: Settled) -> Outcome:
    container, known = settled.container, find_known(ctx.paths, desired, settled)
    stale = None
    if known.current and (desired.max_age is not None or desired.when == "always"):
        # Few tasks have these: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.age import find_stale

        stale = find_stale(desired, container, known.record)
    late = _late_signature(ctx, desired, container, known)
    if known.current and stale is None and late is not None:
        state = {"name": desired.name, "state": container.status if container else "absent", "checkpoint": "current"}
        value = view(replace(desired, archive_path=known.path), container, known.record, state["state"])
        plan = Plan(before=state, after=state, steps=late)
        ctx.apply(plan)
        return Outcome("checkpoint", value, plan, {"statistics": {}, "restore_risks": []}, known.warnings)
    running = refuse(ctx.paths, engine, desired, container)
    refuse_managed(ctx.runner, engine, desired, running)
    refuse_replacing(desired, settled.archived)
    made = make(ctx, engine, desired, running, settled.archived)
    outcome = replace(made, warnings=(*known.warnings, *made.warnings))
    return outcome if stale is None else stale.explain(outcome)


def _late_signature(
    ctx: Context, desired: Desired, container: Container | None, known: Known
) -> tuple[Step, ...] | None:
    if desired.signing_key is None or not known.current or desired.options.pre_checkpoint:
        return ()
    # Few tasks sign: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.late_signature import late_signature

    return late_signature(ctx, desired.signing_key, container, known)


def make(
    ctx: Context, engine: Engine, desired: Desired, container: Container, archived: Mapping[str, Record] | None = None
) -> Outcome:
    """Checkpoints a running container. The caller holds its lock, and that of the archive.

    ``archived`` are the records of archives that the task has completed, by their paths.
    """
    selinux = read_selinux(ctx.paths)
    criu = read_criu(ctx.runner, engine.minimum_criu, selinux, ctx.paths)
    require_policy(selinux, container.process_label)
    refuse_obstacles_of(ctx, container, criu)
    require_space(ctx.paths, desired, container)
    parent = _ready(ctx, engine, desired, container, criu, archived or {})
    risks = check_dump(ctx.paths, engine, container)
    losses = (*engine.losses(container, desired.origin), *(risk.message for risk in risks))
    source = host_labels(ctx.paths)
    tree = read_tree(ctx.paths, container.pid, source) if source.lsm != "none" else {}
    threads = tuple(thread for of_one in tree.values() for thread in of_one)
    traces = traces_to_record(read_traces(ctx.paths, tree, source))
    writer = RecordWriter(engine, desired, container, selinux, criu.text, to_record(threads), traces, parent)
    state = "running" if desired.options.runs_on else "exited"
    stored = _stored(ctx, desired, container, writer)
    plan = Plan(
        before={"name": desired.name, "state": container.status, "checkpoint": "none of this run"},
        after={"name": desired.name, "state": state, "checkpoint": "current"},
        steps=checkpoint_steps(ctx.paths, desired, container, writer, stored),
    )
    applied = _apply(ctx, desired, writer, plan)
    if applied is not None and os.path.isdir(f"{ctx.paths.proc}/{container.pid}") is not desired.options.runs_on:
        now = engine.inspect(ctx, container.name)
        state = now.status if now is not None else "absent"
    facts = {
        "statistics": engine.parse_statistics(applied.output("checkpoint")) if applied else {},
        "restore_risks": [asdict(risk) for risk in risks],
    }
    warnings = (*engine.storage_warnings(selinux.enabled), *losses, *_warnings(desired, writer))
    if source.lsm == "apparmor":
        # Hosts with SELinux need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.hats import hat_warning

        warnings = (*warnings, *hat_warning(threads, f"container {container.name!r}"))
    if stored is not None:
        desired = replace(desired, archive_path=stored.stored_archive if applied else None)
    return Outcome("checkpoint", view(desired, container, writer.written, state), plan, facts, warnings)


def _ready(
    ctx: Context, engine: Engine, desired: Desired, container: Container, criu: Criu, archived: Mapping[str, Record]
) -> Parent | None:
    """Refuses options that would make the dump fail; returns the pre-checkpoint that it is made on, if any."""
    if desired.encryption is not None or desired.signing_key is not None:
        # Few tasks have these: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.secure import check_programs

        check_programs(ctx.runner, desired)
    if not (desired.options.pre_checkpoint or desired.options.with_previous):
        return None
    # Few tasks have these: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.chain import require_parent

    return require_parent(ctx, engine, desired, container, criu.path, archived)


def _stored(ctx: Context, desired: Desired, container: Container, writer: RecordWriter) -> Stored:
    if desired.image is not None:
        # Few tasks have an image: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.image_writer import image_writer

        return image_writer(ctx, desired, writer)
    if desired.store is None:
        return None
    # Few tasks have a store: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.stored import writer_of

    return writer_of(ctx, desired, container, writer)


def _apply(ctx: Context, desired: Desired, writer: RecordWriter, plan: Plan) -> Applied | None:
    try:
        return ctx.apply(plan)
    except CheckpointError as error:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.dump_failure import failed

        raise failed(ctx, desired, writer, error) from error


def _warnings(desired: Desired, writer: RecordWriter) -> tuple[str, ...]:
    """Returns what the user should know of the options and the host."""
    permissive = permissive_warning(writer.selinux, "checkpoint")
    if desired.archive_path is None or desired.options.compression_level is None:
        return (*runs_on_warning(desired), *permissive)
    from ansible_collections.criu.hosts.plugins.module_utils._container.export import level_warning

    return (*level_warning(writer.engine, desired), *runs_on_warning(desired), *permissive)
