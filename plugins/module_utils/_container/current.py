# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the checkpoint of a container that is there, and judges whether it is of this run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import content_options
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import place_record
from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import is_in_checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._container.this_run import Known, is_of_this_run
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record, size_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def find_known(paths: Paths, desired: Desired, settled: Settled) -> Known:
    """Returns the newest checkpoint where the task keeps one."""
    if desired.options.pre_checkpoint:
        # Few tasks make one: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.known_pre import known_pre_checkpoint

        return known_pre_checkpoint(paths, desired, settled)
    path, container = desired.archive_path, settled.container
    warnings: tuple[str, ...] = ()
    if desired.place is None:
        record = settled.record or (place_record(paths, container) if container is not None else None)
        return Known(container is not None and place_is_current(paths, desired, container, record), record)
    if desired.image is not None:
        # Few tasks have an image: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.known_image import known_image

        return known_image(desired, settled)
    if desired.store is not None:
        # Few tasks have a store: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.stored import newest_record

        path, record, warnings = newest_record(desired, settled.archived)
        size = None if record is None else record.size_bytes
    else:
        completed = settled.archived.get(path or "")
        record = completed or read_record(path or "")
        size = completed.size_bytes if completed is not None else size_of(path or "")
    # A plain archive is none for a task that wants it encrypted.
    alike = (path or "").endswith(desired.suffix)
    return Known(alike and archive_is_current(paths, desired, container, record, size), record, path, warnings)


def archive_is_current(
    paths: Paths, desired: Desired, container: Container | None, record: Record | None, size: int | None
) -> bool:
    """Returns whether the archive is of this run of the container; docs/checkpoints.md has the rules."""
    if record is None or size is None or record.size_bytes != size or record.name != desired.name or record.pre_dump:
        return False
    return record.options == content_options(desired.options) and is_of_this_run(paths, container, record)


def place_is_current(paths: Paths, desired: Desired, container: Container, record: Record | None) -> bool:
    """Returns whether the checkpoint in place is of this run of the container."""
    if is_in_checkpoint(paths, container, record):
        return True
    return desired.options.leave_running and container.alive and record is not None and record.run == container.run
