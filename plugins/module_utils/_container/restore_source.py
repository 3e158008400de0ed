# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what a restore starts from (container, record, archive), chooses its source, and refuses what would fail."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import read_criu
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux, read_selinux, require_policy
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread, from_record
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_archive, verify
from ansible_collections.criu.hosts.plugins.module_utils._store.record import (
    Record,
    parse_record,
    place_record_path,
    restored_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


@dataclass(frozen=True)
class Situation:
    """All that a restore is planned from. ``record`` belongs to the archive, or to the checkpoint in place."""

    container: Container | None
    record: Record | None
    selinux: Selinux
    sha256: str = ""

    @property
    def before(self) -> tuple[Thread, ...]:
        return from_record(self.record.labels) if self.record else ()

    @property
    def process_label(self) -> str:
        known = self.record.process_label if self.record else ""
        return known or (self.container.process_label if self.container else "")


def place_record(paths: Paths, container: Container) -> Record | None:
    """Returns the record of the checkpoint in place; None if there is none, or if it describes a different one."""
    record = parse_record(read_text(place_record_path(paths, container.id)))
    return record if record is not None and container.stamp and record.stamp == container.stamp else None


def source_of(paths: Paths, engine: Engine, desired: Desired, situation: Situation) -> str:
    """Returns the source of the restore: nowhere (it runs already), container (in place) or archive.

    Raises:
        CheckpointError: container_missing, rootless_unsupported, not_checkpointed, name_in_use, container_exists.
    """
    container, record = situation.container, situation.record
    if desired.archive_path is None:
        if container is None:
            engine.explain_absence(desired.name, f"restore container {desired.name!r}")
            raise CheckpointError(
                f"Cannot restore container {desired.name!r}: there is no such container. Give archive_path to "
                "restore it from an archive.",
                reason="container_missing",
            )
        if container.running:
            return "nowhere"
        if container.stamp and (container.checkpointed or record is not None):
            return "container"
        raise CheckpointError(
            f"Cannot restore container {desired.name!r}: its status is {container.status!r} and it has no checkpoint. "
            "Start it, or restore it from an archive (archive_path).",
            reason="not_checkpointed",
        )
    if container is None:
        return "archive"
    if container.running and is_from_archive(paths, desired, situation):
        return "nowhere"
    if container.running:
        raise CheckpointError(
            f"Cannot restore {desired.archive_path!r} as container {desired.target!r}: a container of that name runs "
            "and does not come from this archive. Give a different new_name, or remove the container.",
            reason="name_in_use",
        )
    same = record is not None and container.id == record.id and bool(record.stamp)
    if same and record is not None and container.stamp == record.stamp and desired.new_name is None:
        return "container"
    raise CheckpointError(
        f"Cannot restore {desired.archive_path!r} as container {desired.target!r}: a stopped container of that name "
        f"exists, and its state differs from the archive's (status {container.status!r}). Remove it, or give a "
        "different new_name.",
        reason="container_exists",
    )


def is_from_archive(paths: Paths, desired: Desired, situation: Situation) -> bool:
    """Returns whether the running container is the archived one, or was restored from the archive under a new name."""
    container, record = situation.container, situation.record
    if container is None or record is None:
        return False
    if desired.new_name is None and record.id:
        return container.id == record.id
    try:
        entry = json.loads(read_text(restored_path(paths, desired.target)) or "{}")
    except ValueError:
        return False
    known = entry.get("id") == container.id and bool(entry.get("sha256"))
    return known and entry["sha256"] == (record.sha256 or verify(desired.archive_path or "", record))


def read_situation(ctx: Context, engine: Engine, desired: Desired) -> Situation:
    """Reads the archive's record, the container, and the state of SELinux."""
    record = None
    if desired.archive_path is not None:
        check_path(desired.archive_path)
        record = read_archive(desired.archive_path, engine.describe_archive)
        if record.name and record.name != desired.name:
            raise CheckpointError(
                f"Cannot restore container {desired.name!r} from {desired.archive_path!r}: the archive holds "
                f"container {record.name!r}. Give name: {record.name}, and new_name for another name.",
                reason="archive_mismatch",
            )
    container = engine.inspect(ctx, desired.target)
    if desired.archive_path is None and container is not None:
        record = place_record(ctx.paths, container)
    return Situation(container, record, read_selinux(ctx.paths))


def refuse_shared(engine: Engine, desired: Desired, process_label: str) -> None:
    """Refuses a second container with the same SELinux categories, unless that is accepted.

    Raises:
        CheckpointError: categories_shared.
    """
    others = [name for name in engine.sharing(process_label) if name != desired.target]
    if others and desired.shared_categories == "refuse":
        raise CheckpointError(
            f"Cannot restore {desired.archive_path!r} as container {desired.target!r}: container {others[0]!r} has "
            f"the archive's label {process_label!r}, so SELinux would not keep the two apart. Remove that container, "
            "or set shared_categories to accept.",
            reason="categories_shared",
            label=process_label,
            containers=others,
        )


def preflight(ctx: Context, engine: Engine, desired: Desired, situation: Situation, source: str) -> Situation:
    """Refuses a restore that would fail: CRIU, policy, runtime, the archive's needs. Returns the verified situation."""
    runner = ctx.runner
    read_criu(runner, engine.minimum_criu, situation.selinux)
    require_policy(situation.selinux, situation.process_label)
    record, container = situation.record, situation.container
    runtime = record.runtime if record else container.runtime if container else ""
    if runtime and not (os.path.exists(runtime) if "/" in runtime else runner.which(runtime)):
        raise CheckpointError(
            f"Cannot restore container {desired.name!r}: it was checkpointed with the OCI runtime {runtime!r}, which "
            f"is not installed, and no other can restore it. Install {os.path.basename(runtime)!r}.",
            reason="archive_runtime_missing",
        )
    if desired.archive_path is None or record is None:
        return situation
    situation = replace(situation, sha256=verify(desired.archive_path, record))
    if source == "archive":
        refuse_shared(engine, desired, record.process_label)
        if record.image_id and not engine.has_image(ctx, record.image_id):
            raise CheckpointError(
                f"Cannot restore {desired.archive_path!r}: its image {record.image!r} ({record.image_id[:12]}) is "
                "not on this host. Pull or load that very image first.",
                reason="image_missing",
            )
        taken = [name for name in record.volumes if engine.has_volume(name)]
        if taken and not desired.options.ignore_volumes:
            raise CheckpointError(
                f"Cannot restore {desired.archive_path!r}: its volume {taken[0]!r} is on this host already. Remove "
                "the volume, or set ignore_volumes to use it as it is.",
                reason="volume_exists",
            )
    return situation
