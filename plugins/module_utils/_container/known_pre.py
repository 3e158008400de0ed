# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the pre-checkpoint of a container that is there, and judges whether a new one is needed.

None is needed while a checkpoint can still be made on the one that is there, nor when one was made on it, nor when the
container is in its last checkpoint.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.chain import find_unused
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import place_record
from ansible_collections.criu.hosts.plugins.module_utils._container.stopped import is_in_checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._container.this_run import Known
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record, size_of
from ansible_collections.criu.hosts.plugins.module_utils._store.chain import built_on
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, record_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._store.pre_record import PreRecord


def known_pre_checkpoint(paths: Paths, desired: Desired, settled: Settled) -> Known:
    """Returns the pre-checkpoint where the task keeps one; current if the task need not make one."""
    container = settled.container
    if container is not None and not container.alive:
        record = settled.record or place_record(paths, container)
        return Known(is_in_checkpoint(paths, container, settled.record), record)
    if desired.store is not None:
        return _in_store(desired, settled)
    if desired.archive_path is not None:
        return _at_path(desired, settled, desired.archive_path)
    return Known(False, None) if container is None else _in_place(paths, settled, container)


def _unused(settled: Settled) -> PreRecord | None:
    container = settled.container
    return find_unused(settled.engine, container) if container is not None else None


def _is_of_this_run(container: Container | None, record: Record) -> bool:
    return container is None or (container.id, container.run) == (record.id, record.run)


def _in_place(paths: Paths, settled: Settled, container: Container) -> Known:
    """Finds the one beside the container, or a checkpoint there that was made on one and left the container running."""
    note = _unused(settled)
    if note is not None:
        names = {key: getattr(container, key) for key in ("id", "name", "image", "image_id", "runtime")}
        label, engine = container.process_label, settled.engine.name
        record = Record(engine, **names, process_label=label, checkpointed_at=note.made_at, pre_dump=True)
        return Known(True, record)
    made = settled.record or place_record(paths, container)
    linked = os.path.lexists(os.path.join(settled.engine.images_dir(container), "parent"))
    return Known(linked and made is not None and _is_of_this_run(container, made), made)


def _at_path(desired: Desired, settled: Settled, path: str) -> Known:
    completed, note = settled.archived.get(path), _unused(settled)
    record = completed or read_record(path)
    size = record.size_bytes if completed is not None and record is not None else size_of(path)
    if record is None or not _is_alike(desired, record) or record.size_bytes != size:
        return Known(False, record, path)
    if note is not None and (note.archive_path, note.sha256) == (path, record.sha256):
        return Known(True, record, path)
    used = any((one.id, one.run) == (record.id, record.run) for dummy, one in built_on(path, settled.archived))
    return Known(used and _is_of_this_run(settled.container, record), record, path)


def _is_alike(desired: Desired, record: Record) -> bool:
    named = record.name == desired.name and record.pre_dump
    return named and record.options.get("compression") == desired.options.compression


def _in_store(desired: Desired, settled: Settled) -> Known:
    # Few tasks have a store: the others need not compile these.
    from ansible_collections.criu.hosts.plugins.module_utils._container.stored import KIND, newest_record
    from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored
    from ansible_collections.criu.hosts.plugins.module_utils._store.working import archive_part

    path, record, warnings = newest_record(desired, settled.archived)
    if settled.container is None:
        return Known(record is not None, record, path, warnings)
    note = _unused(settled)
    completed = settled.archived.get(note.archive_path) if note is not None else None
    if note is not None and completed is not None and _is_alike(desired, completed):
        return Known(True, completed, note.archive_path, warnings)
    stored = list_stored(desired.store or "", KIND, desired.name)
    used = {one.manifest.parent for one in stored if one.manifest is not None and not one.fault}
    used |= {os.path.basename(os.path.dirname(one.parent)) for one in settled.archived.values()}
    for one in stored:
        part = archive_part(one.manifest)
        if one.manifest is None or part is None or one.fault or (desired.signing_key and not one.signed):
            continue
        record, path = record_of(one.manifest.record), one.part(part.name)
        waits = note is not None and (note.archive_path, note.sha256) == (path, record.sha256)
        if (waits or one.id in used) and _is_alike(desired, record) and _is_of_this_run(settled.container, record):
            return Known(True, record, path, warnings)
    return Known(False, None, None, warnings)
