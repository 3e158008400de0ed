# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checkpoints a container, unless its checkpoint is current, and restores it if the checkpoint fails halfway."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired, require_abilities
from ansible_collections.criu.hosts.plugins.module_utils._container.restore import bring_back
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import Situation, place_record
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.context import STARTED
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    MakeDir,
    Plan,
    Remove,
    Rename,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import read_criu
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import (
    RESERVE_BYTES,
    free_bytes,
    resident_memory,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import (
    Selinux,
    permissive_warning,
    read_selinux,
    require_policy,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import read_traces
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import to_record as traces_to_record
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import read_tree, to_record
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record, size_of
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, place_record_path, record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path, partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def begun(folders: Iterable[str], since: float) -> tuple[str, ...]:
    """Returns the folders in which files were written since then (seconds since 1970), for example by a failed dump."""
    return tuple(
        path
        for path in folders
        if os.path.isdir(path) and any(entry.stat().st_mtime >= since for entry in os.scandir(path))
    )


# The options that decide what an archive holds; another value makes another archive.
CONTENT_OPTIONS = ("ignore_rootfs", "ignore_volumes", "compression")


def content_options(options: Options) -> dict[str, Any]:
    return {key: value for key, value in asdict(options).items() if key in CONTENT_OPTIONS}


def archive_is_current(desired: Desired, container: Container | None, record: Record | None, size: int | None) -> bool:
    """Returns whether the archive is of this run of the container; docs/checkpoints.md has the rules."""
    if record is None or size is None or record.size_bytes != size or record.name != desired.name:
        return False
    if record.options != content_options(desired.options):
        return False
    if container is None:
        return True
    if container.id != record.id:
        return False
    if container.running:
        return record.run == container.run
    return container.checkpointed and container.stamp == record.stamp


def place_is_current(desired: Desired, container: Container, record: Record | None) -> bool:
    """Returns whether the checkpoint in place is of this run of the container."""
    if container.checkpointed and not container.running:
        return True
    return desired.options.leave_running and container.running and record is not None and record.run == container.run


def refuse(engine: Engine, desired: Desired, container: Container | None) -> Container:
    """Returns the container, if it can be checkpointed.

    Raises:
        CheckpointError: container_missing, rootless_unsupported, container_not_running, auto_remove.
    """
    if container is None:
        engine.explain_absence(desired.name, f"checkpoint container {desired.name!r}")
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r}: there is no such container. See '{engine.list_command}'.",
            reason="container_missing",
        )
    if not container.running:
        state = (
            "a checkpoint in place has stopped it" if container.checkpointed else f"its status is {container.status!r}"
        )
        raise CheckpointError(
            f"Cannot checkpoint container {desired.name!r}: it is not running: {state}. "
            f"{'Restore' if container.checkpointed else 'Start'} it first.",
            reason="container_not_running",
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
    if not unit or desired.options.leave_running:
        return
    if runner.run(("systemctl", "is-active", "--quiet", unit)).rc == 0:
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


@dataclass
class RecordWriter:
    """Makes the record when the plan comes to it, after the archive and the checkpoint."""

    engine: Engine
    desired: Desired
    container: Container
    selinux: Selinux
    criu: str
    labels: list[dict[str, Any]]
    traces: dict[str, Any]
    written: Record | None = None

    def make(self) -> Record:
        """Makes the record of the checkpoint that is there now."""
        box, path = self.container, self.desired.archive_path
        known = {
            key: getattr(box, key) for key in ("id", "name", "image", "image_id", "runtime", "process_label", "run")
        }
        self.written = Record(
            engine=self.engine.name,
            **known,
            stamp=self.engine.stamp(box),
            checkpointed_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            volumes=box.volumes,
            criu=self.criu,
            options=content_options(self.desired.options),
            selinux=self.selinux.mode,
            labels=self.labels,
            traces=self.traces,
            size_bytes=os.stat(path).st_size if path else 0,
            sha256=file_sha256(path) if path else "",
        )
        return self.written

    def text(self) -> str:
        return render_record(self.written or self.make())


def checkpoint_steps(paths: Paths, desired: Desired, container: Container, writer: RecordWriter) -> tuple[Step, ...]:
    """Plans a checkpoint with its record. An archive has a partial name until it is complete."""
    path, engine = desired.archive_path, writer.engine
    place = place_record_path(paths, container.id)
    old = engine.outdated_records(container)
    record: tuple[Step, ...] = (
        MakeDir(os.path.dirname(place), why="make the folder"),
        WriteFile(place, writer.text, why="write the record"),
        *(Remove(one, why="remove the record of a removed container") for one in old),
    )
    if path is None:
        return (*engine.checkpoint_steps(container, desired.options, None), *record)
    if desired.options.leave_running:
        files = engine.leftovers(container, desired.options)
        record = tuple(Remove(file, why="remove the checkpoint in place") for file in files)
    elif container.auto_remove:
        record = ()
    partial, folder = partial_path(path), os.path.dirname(path)
    return (
        *(() if os.path.isdir(folder) else (MakeDir(folder, why="make the folder"),)),
        *engine.checkpoint_steps(container, desired.options, partial),
        Rename(partial, path, mode=0o600, why="put the archive in place at"),
        WriteFile(record_path(path), writer.text, why="write the record"),
        *record,
    )


def is_there(paths: Paths, pid: int) -> bool:
    return pid > 0 and os.path.isdir(f"{paths.proc}/{pid}")


def failed(ctx: Context, desired: Desired, writer: RecordWriter, error: CheckpointError) -> CheckpointError:
    """Reports a failure and the state of the container, which is restored if only its checkpoint is left."""
    # A task that succeeds need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._container.failure import read_failure

    engine, container = writer.engine, writer.container
    now = engine.inspect(ctx, container.name)
    # The log has to be read first: it goes with a checkpoint that is used.
    failure = read_failure(ctx.paths, engine, error, now, "checkpoint")
    state = now.status if now is not None else "absent"
    left_images = now is not None and not now.running and now.stamp not in ("", container.stamp)
    failures: list[str] = []
    if now is None:
        outcome = "It was made with --rm and is gone."
    elif now.running:
        outcome = "It keeps running."
        try:  # the images are memory, and may fill the disk
            left = begun(engine.checkpoint_files(now), STARTED)
            ctx.apply(Plan(steps=tuple(Remove(path, why="remove the images of the failed dump") for path in left)))
        except CheckpointError as second:
            failures.append(second.message)
    elif left_images:
        try:
            _bring_back(ctx, desired, writer, now)
            outcome = "It was restored from its checkpoint and runs again."
            state = "running"
        except CheckpointError as second:
            outcome = f"It could not be restored: {second.message}"
            failures.append(second.message)
    else:
        outcome = f"It no longer runs (status {now.status!r})."
    told = failure.told(f"checkpoint container {container.name!r}", outcome)
    told.facts["container_state"] = state
    if failures:
        told.facts.setdefault("cleanup_failed", []).extend(failures)
    if left_images:
        told.facts["log_path"] = ""  # the log goes with the used checkpoint
    return told


def _bring_back(ctx: Context, desired: Desired, writer: RecordWriter, now: Container) -> None:
    """Restores the container from the checkpoint in place that a failed export has left."""
    place = Desired(desired.name, None, replace(desired.options, keep=False, leave_running=False))
    record = replace(writer.written or writer_record(writer), stamp=now.stamp)
    bring_back(ctx, writer.engine, place, Situation(now, record, writer.selinux))


def writer_record(writer: RecordWriter) -> Record:
    """Returns the record without an archive, with which a restore after a failure is compared."""
    return RecordWriter(
        **{**writer.__dict__, "desired": replace(writer.desired, archive_path=None), "written": None}
    ).make()


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
    path = desired.archive_path
    if path is not None:
        check_path(path)
    container = engine.inspect(ctx, desired.name)
    if path is not None:
        record = read_record(path)
        current = archive_is_current(desired, container, record, size_of(path))
    else:
        record = place_record(ctx.paths, container) if container is not None else None
        current = container is not None and place_is_current(desired, container, record)
    if current:
        state = {"name": desired.name, "state": container.status if container else "absent", "checkpoint": "current"}
        value = view(desired, container, record, state["state"])
        return Outcome("checkpoint", value, Plan(before=state, after=state), {"statistics": {}})
    running = refuse(engine, desired, container)
    refuse_managed(ctx.runner, engine, desired, running)
    return make(ctx, engine, desired, running)


def make(ctx: Context, engine: Engine, desired: Desired, container: Container) -> Outcome:
    """Checkpoints a running container."""
    selinux = read_selinux(ctx.paths)
    criu = read_criu(ctx.runner, engine.minimum_criu, selinux)
    require_policy(selinux, container.process_label)
    require_space(ctx.paths, desired, container)
    losses = engine.losses(container, desired.archive_path)
    source = host_labels(ctx.paths)
    tree = read_tree(ctx.paths, container.pid, source) if selinux.enabled else {}
    labels = to_record(thread for threads in tree.values() for thread in threads)
    traces = traces_to_record(read_traces(ctx.paths, tree, source))
    writer = RecordWriter(engine, desired, container, selinux, criu.text, labels, traces)
    state = "running" if desired.options.leave_running else "exited"
    plan = Plan(
        before={"name": desired.name, "state": container.status, "checkpoint": "none of this run"},
        after={"name": desired.name, "state": state, "checkpoint": "current"},
        steps=checkpoint_steps(ctx.paths, desired, container, writer),
    )
    try:
        applied = ctx.apply(plan)
    except CheckpointError as error:
        raise failed(ctx, desired, writer, error) from error
    if applied is not None and is_there(ctx.paths, container.pid) is not desired.options.leave_running:
        now = engine.inspect(ctx, container.name)
        state = now.status if now is not None else "absent"
    facts = {"statistics": engine.parse_statistics(applied.output("checkpoint")) if applied else {}}
    storage = engine.storage_warnings(selinux.enabled)
    warnings = (*storage, *losses, *permissive_warning(selinux, "checkpoint"))
    return Outcome("checkpoint", view(desired, container, writer.written, state), plan, facts, warnings)
