# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the archive that a container is restored from, and refuses an import that would fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import free_bytes
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_archive, size_of, verify
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, restored_path
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def read_archived(engine: Engine, desired: Desired, archive_path: str) -> Record:
    """Reads what the archive holds.

    Raises:
        CheckpointError: archive_path_unsafe, archive_missing, archive_invalid, archive_mismatch, archive_pre_dump.
    """
    check_path(archive_path)
    record = read_archive(archive_path, engine.describe_archive)
    if record.pre_dump:
        # Few archives are: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._store.chain import refuse_pre_checkpoint

        refuse_pre_checkpoint(record, archive_path)
    if record.name and record.name != desired.name:
        raise CheckpointError(
            f"Cannot restore container {desired.name!r} from {archive_path!r}: the archive holds container "
            f"{record.name!r}. Give name: {record.name}, and new_name for another name.",
            reason="archive_mismatch",
        )
    return record


def is_from_archive(paths: Paths, desired: Desired, container: Container | None, record: Record | None) -> bool:
    """Returns whether the running container is the archived one, or was restored from the archive under a new name."""
    if container is None or record is None:
        return False
    if desired.new_name is None and record.id:
        return container.id == record.id
    try:
        data = read_own(restored_path(paths, desired.target))
        entry = parse_object(data) if data is not None else {}
    except ValueError:
        return False
    known = entry.get("id") == container.id and bool(entry.get("sha256"))
    return known and entry["sha256"] == (record.sha256 or verify(desired.archive_path or "", record))


def source_of_archive(
    paths: Paths, engine: Engine, desired: Desired, container: Container | None, record: Record | None
) -> str:
    """Returns the source of a restore from an archive: the container itself if it is stopped in that checkpoint.

    Raises:
        CheckpointError: name_in_use, container_exists, container_paused, container_ending.
    """
    if container is None:
        return "image" if desired.image else "archive"
    if container.unsettled and is_from_archive(paths, desired, container, record):
        from ansible_collections.criu.hosts.plugins.module_utils._container.status import refuse_paused_or_ending

        refuse_paused_or_ending(engine, container, f"restore container {desired.target!r}")
    if container.running and is_from_archive(paths, desired, container, record):
        return "nowhere"
    if container.running or container.unsettled:
        does = "runs" if container.running else f"is there (status {container.status!r})"
        raise CheckpointError(
            f"Cannot restore {desired.origin!r} as container {desired.target!r}: a container of that name {does} "
            "and does not come from this archive. Give a different new_name, or remove the container.",
            reason="name_in_use",
        )
    same = record is not None and container.id == record.id and bool(record.stamp)
    if same and record is not None and container.stamp == record.stamp and desired.new_name is None:
        _refuse_publish(desired)
        return "container"
    raise CheckpointError(
        f"Cannot restore {desired.origin!r} as container {desired.target!r}: a stopped container of that name "
        f"exists, and its state differs from the archive's (status {container.status!r}). Remove it, or give a "
        "different new_name.",
        reason="container_exists",
    )


def _refuse_publish(desired: Desired) -> None:
    """Refuses other ports for the archive's own container, which is restored in place, with its ports."""
    if desired.options.publish:
        raise CheckpointError(
            f"Cannot restore {desired.origin!r} as container {desired.target!r} with publish: that container "
            "exists, stopped in this very checkpoint, and keeps its ports. Remove it, give new_name, or leave publish "
            "out.",
            reason="container_exists",
        )


def refuse_taken_id(engine: Engine, desired: Desired, record: Record) -> None:
    """Refuses to import a container whose id a container with a different name has: it was renamed since.

    Raises:
        CheckpointError: container_exists.
    """
    holder = engine.holder(record.id) if record.id and desired.new_name is None else ""
    if holder not in ("", desired.target):
        raise CheckpointError(
            f"Cannot restore {desired.origin!r} as container {desired.target!r}: container {holder!r} has its "
            f"id {record.id[:12]!r}. Remove container {holder!r}, or give new_name.",
            reason="container_exists",
        )


def refuse_shared(engine: Engine, desired: Desired, process_label: str) -> None:
    """Refuses a second container with the same SELinux categories, unless that is accepted.

    Raises:
        CheckpointError: categories_shared.
    """
    if desired.shared_categories == "accept":
        return
    others = [name for name in engine.sharing(process_label) if name != desired.target]
    if others:
        raise CheckpointError(
            f"Cannot restore {desired.origin!r} as container {desired.target!r}: container {others[0]!r} has "
            f"the archive's label {process_label!r}, so SELinux would not keep the two apart. Remove that container, "
            "or set shared_categories to accept.",
            reason="categories_shared",
            label=process_label,
            containers=others,
        )


def require_image(ctx: Context, engine: Engine, desired: Desired, record: Record) -> None:
    """Refuses an import without the very image of the container, or without its name.

    Raises:
        CheckpointError: image_missing.
    """
    if record.image_id and not engine.has_image(ctx, record.image_id):
        bring = engine.image_command(record.image)
        raise CheckpointError(
            f"Cannot restore {desired.origin!r}: its image {record.image!r} ({record.image_id[:12]}) is "
            f"not on this host. Pull or load that very image first; on a host that has it, '{bring}' brings it here.",
            reason="image_missing",
        )
    name_it = engine.naming_command(record.image_id, record.image) if record.image_id else ""
    if name_it:
        raise CheckpointError(
            f"Cannot restore {desired.origin!r}: its image {record.image_id[:12]} is on this host, but no image "
            f"has the name {record.image!r}, and {engine.name} asks for that first. Give it the name: '{name_it}'.",
            reason="image_missing",
        )


def require_volumes(engine: Engine, desired: Desired, record: Record) -> None:
    """Refuses an import that would make a volume which is there.

    Raises:
        CheckpointError: volume_exists.
    """
    taken = [name for name in record.volumes if engine.has_volume(name)]
    if taken and not desired.options.ignore_volumes:
        raise CheckpointError(
            f"Cannot restore {desired.origin!r}: its volume {taken[0]!r} is on this host already. Remove "
            "the volume, or set ignore_volumes to use it as it is.",
            reason="volume_exists",
        )


def require_room(ctx: Context, desired: Desired, size: int) -> None:
    """Refuses an import for which there is certainly no room: unpacked, an archive is as large, or larger.

    Raises:
        CheckpointError: disk_full.
    """
    free, needed = free_bytes(ctx.paths.storage), size
    if free < needed:
        raise CheckpointError(
            f"Cannot restore {desired.origin!r}: {free} bytes are free in {ctx.paths.storage!r}, and it needs {needed} "
            "or more. Free space there.",
            reason="disk_full",
        )


def import_checks(work: Restore) -> Iterator[Callable[[], None]]:
    """Yields the checks of an import that would fail: a taken id, a shared label, a missing image, a volume, room."""
    ctx, engine, desired, record = work.ctx, work.engine, work.desired, work.situation.record
    if record is None:
        return
    yield lambda: refuse_taken_id(engine, desired, record)
    yield lambda: refuse_shared(engine, desired, record.process_label)
    yield lambda: require_image(ctx, engine, desired, record)
    yield lambda: require_volumes(engine, desired, record)
    previous = work.situation.previous(desired.archive_path)
    size = (size_of(desired.archive_path or "") or record.size_bytes) + ((size_of(previous) or 0) if previous else 0)
    yield lambda: require_room(ctx, desired, size)
    if previous:
        used = Options(with_previous=True)
        yield lambda: engine.require_options(ctx, used, work.what, archive=True)
    # Of an image, podman takes no addresses but those that the container was made with.
    same = desired.new_name is None and not desired.options.ignore_static_ip and not desired.image
    networks = {name: found if same else [] for name, found in record.networks.items()}
    yield lambda: engine.require_networks(ctx, networks, work.what, mine=desired.target)
