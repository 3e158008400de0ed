# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checkpoints a container, unless its checkpoint is current."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._container.binds import check_dump
from ansible_collections.criu.hosts.plugins.module_utils._container.consistent import (
    consistency_steps,
    runs_on_warning,
)
from ansible_collections.criu.hosts.plugins.module_utils._container.held import held
from ansible_collections.criu.hosts.plugins.module_utils._container.notes import begin, end
from ansible_collections.criu.hosts.plugins.module_utils._container.obstacles import refuse_obstacles_of
from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import RecordWriter, content_options
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired, require_abilities
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import place_record
from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled, settle
from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import is_in_checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_archive import (
    place_steps,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
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
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import read_criu
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import limited, used_bytes
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import (
    RESERVE_BYTES,
    cgroup_memory,
    free_bytes,
    resident_memory,
    tree_memory,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import SERVICE
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
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record, size_of
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, place_record_path, record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import (
    archive_place_steps,
    check_path,
    partial_path,
    unfinished_record_path,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def archive_is_current(
    paths: Paths, desired: Desired, container: Container | None, record: Record | None, size: int | None
) -> bool:
    """Returns whether the archive is of this run of the container; docs/checkpoints.md has the rules."""
    if record is None or size is None or record.size_bytes != size or record.name != desired.name:
        return False
    if record.options != content_options(desired.options):
        return False
    if container is None:
        return True
    if container.id != record.id:
        return False
    if container.alive:
        return record.run == container.run
    return container.stamp == record.stamp and is_in_checkpoint(paths, container, record)


def place_is_current(paths: Paths, desired: Desired, container: Container, record: Record | None) -> bool:
    """Returns whether the checkpoint in place is of this run of the container."""
    if is_in_checkpoint(paths, container, record):
        return True
    return desired.options.leave_running and container.alive and record is not None and record.run == container.run


def refuse(paths: Paths, engine: Engine, desired: Desired, container: Container | None) -> Container:
    """Returns the container, if it can be checkpointed.

    Raises:
        CheckpointError: container_missing, rootless_unsupported, container_paused, container_not_running, auto_remove.
    """
    if container is None:
        engine.explain_absence(desired.name, f"checkpoint container {desired.name!r}")
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r}: there is no such container. See '{engine.list_command}'.",
            reason="container_missing",
        )
    if not container.running:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.status import not_running_error

        raise not_running_error(
            engine, container, is_in_checkpoint(paths, container), f"checkpoint container {desired.name!r}"
        )
    if container.auto_remove and desired.archive_path is None:
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r} in place: it was made with --rm, so {engine.name} would "
            "remove it with its checkpoint. Give archive_path, or make the container without --rm.",
            reason="auto_remove",
        )
    return container


def refuse_managed(runner: Runner, engine: Engine, desired: Desired, container: Container) -> None:
    """Refuses a checkpoint that would end the container of an active unit: systemd would start it again.

    Raises:
        CheckpointError: unit_managed.
    """
    unit = engine.manager(container)
    # Anybody may give a container any label: what is not the name of a service is no unit, and no option of systemctl.
    if desired.options.leave_running or unit.startswith("-") or not re.match(SERVICE, unit):
        return
    if runner.run(("systemctl", "is-active", "--quiet", "--", unit)).rc == 0:
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r}: it would end, and the active unit {unit!r} would start "
            "it again. Stop the unit instead (a stateful one keeps the state), or set leave_running.",
            reason="unit_managed",
            unit=unit,
        )


def require_space(paths: Paths, desired: Desired, container: Container) -> None:
    """Refuses an archive without enough room for a container that is removed when it ends (--rm)."""
    if desired.archive_path is None or not container.auto_remove:
        return
    free = free_bytes(os.path.dirname(desired.archive_path))
    needed = resident_memory(paths, read_tree(paths, container.pid, host_labels(paths))) + RESERVE_BYTES
    if free < needed:
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r} to {desired.archive_path!r}: {free} bytes are free "
            f"there, and it may need {needed}; a container made with --rm could not be restored. Free space there.",
            reason="disk_full",
        )


def checkpoint_steps(paths: Paths, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans a checkpoint with its record. An archive has a partial name until it is complete.

    The labels are written down before the dump: after it, there is no process to read them from.
    """
    engine, path = writer.engine, desired.archive_path
    steps = engine.checkpoint_steps(container, desired.options, None if path is None else partial_path(path))
    look = Check(writer.look, why=f"find the checkpoint of container {container.name!r}")
    return (
        *begin(paths, "dumping", container.name, writer.known(), _facts(desired, container)),
        *(() if path is None else _prepare_archive(path, writer)),
        *limited(steps, _bytes_to_write(paths, container, path)),
        look,
        *consistency_steps(desired, writer),
        *(() if path is None else _finish_archive(path, desired, container, writer)),
        *_record_steps(paths, desired, container, writer),
        *end(paths, container.name),
    )


def _bytes_to_write(paths: Paths, container: Container, archive_path: str | None) -> int:
    """Returns at most how much a checkpoint has to write: memory, and for an archive what is in the storage."""
    memory = cgroup_memory(paths, container.pid) or tree_memory(paths, container.pid)
    return memory if archive_path is None else memory + used_bytes(paths.storage)


def _facts(desired: Desired, container: Container) -> dict[str, Any]:
    """Returns what identifies the container and this checkpoint of it, and what a restore of it has to know."""
    options = desired.options
    return {
        "id": container.id,
        "run": container.run,
        "stamp": container.stamp,
        "archive_path": desired.archive_path or "",
        "leave_running": options.leave_running,
        "tcp_established": options.tcp_established,
        "file_locks": options.file_locks,
    }


def _prepare_archive(path: str, writer: RecordWriter) -> tuple[Step, ...]:
    return (
        *archive_place_steps(path),
        WriteFile(unfinished_record_path(path), render_record(writer.known()), why="write the record"),
        # Podman writes into an existing file, and would give a new one to other readers for a moment.
        WriteFile(partial_path(path), "", mode=0o600, why="make the file"),
    )


def _finish_archive(path: str, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    engine = writer.engine
    used = engine.leftovers(container, desired.options) if desired.options.leave_running else ()

    def replaced() -> bool:
        return engine.stamp(container) not in ("", writer.stamp)

    return (
        *(Remove(one, why="remove the checkpoint in place", unless=replaced) for one in used),
        WriteFile(unfinished_record_path(path), writer.text, why="write the record"),
        *place_steps(path),
    )


def _record_steps(paths: Paths, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans the record of the checkpoint in place, if one stays."""
    engine, place = writer.engine, place_record_path(paths, container.id)
    if desired.archive_path is not None and (desired.options.leave_running or container.auto_remove):
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


def is_there(paths: Paths, pid: int) -> bool:
    return pid > 0 and os.path.isdir(f"{paths.proc}/{pid}")


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
        "size_bytes": record.size_bytes if archive and record else None,
        "sha256": record.sha256 if archive and record else None,
        "checkpointed_at": record.checkpointed_at if record else None,
        "runtime": container.runtime if container else (record.runtime if record else None),
    }


def checkpoint(ctx: Context, engine: Engine, desired: Desired) -> Outcome:
    """Checkpoints this run of the container unless that is done (state: present)."""
    require_abilities(engine, desired)
    engine.require_caller(f"checkpoint container {desired.name!r}")
    if desired.archive_path is not None:
        check_path(desired.archive_path)
    with held(ctx, engine, desired) as found:
        settled = settle(ctx, engine, found, "checkpoint")
        return settled.before(lambda: _checkpoint(ctx, engine, found.desired, settled))


def _checkpoint(ctx: Context, engine: Engine, desired: Desired, settled: Settled) -> Outcome:
    path, container = desired.archive_path, settled.container
    if path is not None:
        completed = settled.archived.get(path)
        record = completed or read_record(path)
        size = completed.size_bytes if completed is not None else size_of(path)
        current = archive_is_current(ctx.paths, desired, container, record, size)
    else:
        record = settled.record or (place_record(ctx.paths, container) if container is not None else None)
        current = container is not None and place_is_current(ctx.paths, desired, container, record)
    if current:
        state = {"name": desired.name, "state": container.status if container else "absent", "checkpoint": "current"}
        value = view(desired, container, record, state["state"])
        return Outcome("checkpoint", value, Plan(before=state, after=state), {"statistics": {}, "restore_risks": []})
    running = refuse(ctx.paths, engine, desired, container)
    refuse_managed(ctx.runner, engine, desired, running)
    return make(ctx, engine, desired, running)


def make(ctx: Context, engine: Engine, desired: Desired, container: Container) -> Outcome:
    """Checkpoints a running container. The caller holds its lock, and that of the archive."""
    selinux = read_selinux(ctx.paths)
    criu = read_criu(ctx.runner, engine.minimum_criu, selinux, ctx.paths)
    require_policy(selinux, container.process_label)
    refuse_obstacles_of(ctx, container, criu)
    require_space(ctx.paths, desired, container)
    risks = check_dump(ctx.paths, engine, container)
    losses = (*engine.losses(container, desired.archive_path), *(risk.message for risk in risks))
    source = host_labels(ctx.paths)
    tree = read_tree(ctx.paths, container.pid, source) if source.lsm != "none" else {}
    threads = tuple(thread for of_one in tree.values() for thread in of_one)
    traces = traces_to_record(read_traces(ctx.paths, tree, source))
    writer = RecordWriter(engine, desired, container, selinux, criu.text, to_record(threads), traces)
    state = "running" if desired.options.leave_running else "exited"
    plan = Plan(
        before={"name": desired.name, "state": container.status, "checkpoint": "none of this run"},
        after={"name": desired.name, "state": state, "checkpoint": "current"},
        steps=checkpoint_steps(ctx.paths, desired, container, writer),
    )
    try:
        applied = ctx.apply(plan)
    except CheckpointError as error:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.dump_failure import failed

        raise failed(ctx, desired, writer, error) from error
    if applied is not None and is_there(ctx.paths, container.pid) is not desired.options.leave_running:
        now = engine.inspect(ctx, container.name)
        state = now.status if now is not None else "absent"
    facts = {
        "statistics": engine.parse_statistics(applied.output("checkpoint")) if applied else {},
        "restore_risks": [asdict(risk) for risk in risks],
    }
    storage = engine.storage_warnings(selinux.enabled)
    warnings = (*storage, *losses, *runs_on_warning(desired), *permissive_warning(selinux, "checkpoint"))
    if source.lsm == "apparmor":
        # Hosts with SELinux need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.hats import hat_warning

        warnings = (*warnings, *hat_warning(threads, f"container {container.name!r}"))
    return Outcome("checkpoint", view(desired, container, writer.written, state), plan, facts, warnings)
