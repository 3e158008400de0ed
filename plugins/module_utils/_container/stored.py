# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes and finds the checkpoints of a container in a store.

A checkpoint is made as an archive in the folder of what is not whole yet, by the same steps as any archive. Then its
manifest is written, and the folder gets the checkpoint's id as its name. What a task leaves that dies on the way, the
next one completes or removes.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._container.request import CHAIN_FLAGS
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record, size_of
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import (
    LATEST,
    SIGNATURE,
    Stored,
    find_and_warn,
    list_stored,
    name_path,
    newest_whole,
    next_id,
    passed_over,
    unusable,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest, Part, render_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, record_of, record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import (
    partial_path,
    pipe_path,
    unfinished_record_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.working import (
    ARCHIVES,
    NAMES,
    archive_part,
    draft_steps,
    final_folder,
    finish_steps,
    is_working,
    read_draft,
    working_folder,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.held import Held
    from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import RecordWriter
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

KIND = "container"
NO_ARCHIVE = "it has no archive that this release can restore"


def new_name(desired: Desired) -> str:
    """Returns the name of the archive that the task makes."""
    return f"{ARCHIVES[desired.options.compression]}{desired.suffix}"


def left_archives(store: str, name: str) -> tuple[str, ...]:
    """Returns the archives of which an earlier task has left something; its compression may have been another."""
    paths = [os.path.join(working_folder(store, KIND, name), one) for one in NAMES]
    return tuple(path for path in paths if any(map(os.path.lexists, _files(path))))


def in_store(held: Held, *, importing: bool) -> Held:
    """Returns what the task has found with the folders and archives that are not whole, which it has to lock.

    A task that makes a checkpoint gets the path of its archive.
    """
    desired, archives = held.desired, set(held.archives)
    folders = {os.path.dirname(path) for path in held.archives if is_working(path)}
    if desired.store is not None:
        folders.add(working_folder(desired.store, KIND, desired.name))
        archives.update(left_archives(desired.store, desired.name))
        if not importing:
            path = os.path.join(working_folder(desired.store, KIND, desired.name), new_name(desired))
            desired = replace(desired, archive_path=path)
    return replace(held, desired=desired, archives=tuple(archives), working=tuple(sorted(folders)))


def _files(path: str) -> tuple[str, ...]:
    return path, record_path(path), partial_path(path), unfinished_record_path(path), pipe_path(path)


def newest(desired: Desired) -> tuple[Stored | None, Record | None]:
    """Returns the newest checkpoint without a fault, with its record."""
    found = newest_whole(desired.store or "", KIND, desired.name)
    return found, None if found is None or found.manifest is None else record_of(found.manifest.record)


def newest_record(desired: Desired, archived: dict[str, Record]) -> tuple[str | None, Record | None, tuple[str, ...]]:
    """Returns path and record of the newest archive in the store, or of one that this task completes, and warnings.

    A newer one that cannot be used, such as one of a later release, is named in a warning.
    """
    path, record = None, None
    warnings: list[str] = []
    for one in list_stored(desired.store or "", KIND, desired.name):
        if one.pre_dump:
            continue
        fault = one.fault or ("" if archive_part(one.manifest) else NO_ARCHIVE)
        if one.manifest is not None and not fault:
            path, record = archive_of(one), record_of(one.manifest.record)
            break
        warnings.append(passed_over(one, fault))
    completed = newest_completed(desired, archived)
    if completed is not None and _is_newer(desired, completed, path):
        path, record = completed, archived[completed]
    return path, record, tuple(warnings)


def newest_completed(desired: Desired, archived: dict[str, Record]) -> str | None:
    """Returns the archive that this task completes in the store for this container; None if it completes none."""
    restorable = (path for path, record in archived.items() if not record.pre_dump)
    return max((path for path in restorable if _is_newer(desired, path, None)), default=None)


def _is_newer(desired: Desired, archive: str, other: str | None) -> bool:
    """Returns whether the archive is in the store, for this container, and newer than ``other``; ids sort by time."""
    folder = os.path.dirname(archive)
    if os.path.dirname(folder) != name_path(desired.store or "", KIND, desired.name):
        return False
    return other is None or folder > os.path.dirname(other)


def archive_of(stored: Stored) -> str:
    """Returns the path of the archive of a checkpoint.

    Raises:
        CheckpointError: checkpoint_damaged, it has none that can be restored.
    """
    part = archive_part(stored.manifest)
    if part is None:
        raise unusable(stored.path, NO_ARCHIVE)
    return stored.part(part.name)


def find_archive(desired: Desired) -> tuple[str, tuple[str, ...]]:
    """Returns the archive of the wanted checkpoint, whose record is the one that the manifest names, and warnings.

    The digest of the archive itself is compared with the record right before the restore.

    Raises:
        CheckpointError: checkpoint_missing, checkpoint_damaged, store_unreadable.
    """
    stored, passed = find_and_warn(desired.store or "", KIND, desired.name, desired.checkpoint or LATEST)
    path = archive_of(stored)
    known = {stored.part(part.name): part.sha256 for part in stored.manifest.parts} if stored.manifest else {}
    beside = record_path(path)
    try:
        same = file_sha256(beside) == known.get(beside)
    except OSError as error:
        raise unusable(stored.path, f"its record cannot be read ({error.strerror})") from error
    record = read_record(path)
    if not same or record is None or record.sha256 != known[path]:
        raise unusable(stored.path, "its record is not the one in its manifest")
    return path, passed


def restored_from(desired: Desired, settled: Settled) -> Desired:
    """Returns the options of a restore with the archive of the wanted checkpoint; warns about damaged ones.

    Raises:
        CheckpointError: as ``find_archive``.
    """
    wanted, completed = desired.checkpoint or LATEST, newest_completed(desired, settled.archived)
    found = newest(desired)[0] if wanted == LATEST and completed else None
    if completed and (
        wanted == os.path.basename(os.path.dirname(completed))
        or (wanted == LATEST and _is_newer(desired, completed, found.part("") if found else None))
    ):
        return replace(desired, archive_path=completed)
    path, passed = find_archive(desired)
    settled.warnings = (*settled.warnings, *passed)
    return replace(desired, archive_path=path)


@dataclass
class StoredWriter:
    """Makes the manifest of a checkpoint: most of it before the dump, the parts when the archive is complete."""

    working: str
    draft: Manifest
    writer: RecordWriter

    @property
    def archive(self) -> str:
        return os.path.join(self.working, new_name(self.writer.desired))

    @property
    def stored_archive(self) -> str:
        """The path of the archive when the checkpoint is in its place."""
        return os.path.join(final_folder(self.working, self.draft.id), os.path.basename(self.archive))

    def begin(self) -> tuple[Step, ...]:
        return draft_steps(self.working, self.draft)

    def end(self) -> tuple[Step, ...]:
        return finish_steps(self.working, self.draft.id, self.text, self.writer.desired.signing_key)

    def text(self) -> str:
        record, writer = self.writer.written, self.writer
        draft = replace(self.draft, host=replace(self.draft.host, network_lock=writer.network_lock))
        return manifest_text(draft, self.archive, record) if record is not None else ""


def writer_of(ctx: Context, desired: Desired, container: Container, writer: RecordWriter) -> StoredWriter:
    """Reads what the manifest says about the host; the caller holds the locks."""
    from ansible_collections.criu.hosts.plugins.module_utils._container.made_on import host_of, spec_of
    from ansible_collections.criu.hosts.plugins.module_utils._store.origin import who

    now = time.time()
    options = desired.options
    draft = Manifest(
        id=next_id(desired.store or "", KIND, container.name, now, os.urandom(4)),
        kind=KIND,
        name=container.name,
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        parts=(),
        record=vars(writer.known()),
        host=host_of(ctx, writer.engine, container, writer.criu),
        why=desired.why,
        who=who(ctx.paths),
        options=_options(options),
        spec=spec_of(writer.engine, container, writer.labels),
    )
    return StoredWriter(working_folder(desired.store or "", KIND, container.name), draft, writer)


def _options(options: Any) -> dict[str, Any]:
    names = ("tcp_established", "file_locks", "ignore_rootfs", "ignore_volumes", "leave_running", "compression")
    more = {name: True for name in CHAIN_FLAGS if getattr(options, name)}
    if options.compression_level is not None:
        more["compression_level"] = options.compression_level
    return {**{name: getattr(options, name) for name in names}, **more}


def manifest_text(draft: Manifest, archive: str, record: Record) -> str:
    """Returns the manifest of a complete archive: size and digest are those of its record, which was just written.

    The record names the parent by its path, ``../ID/NAME``.
    """
    text = render_record(record).encode("utf-8", "surrogateescape")
    name = os.path.basename(archive)
    parts = (
        Part(name, record.size_bytes, record.sha256),
        Part(os.path.basename(record_path(name)), len(text), hashlib.sha256(text).hexdigest()),
    )
    parent = os.path.basename(os.path.dirname(record.parent))
    return render_manifest(replace(draft, parts=parts, record=vars(record), parent=parent))


def _without_draft(working: str, record: Record) -> Manifest:
    """Returns a manifest that knows nothing of the host, if a different release has written the draft."""
    store = os.path.dirname(os.path.dirname(os.path.dirname(working)))
    identity, made_at = next_id(store, KIND, record.name, time.time(), os.urandom(4)), record.checkpointed_at
    return Manifest(identity, KIND, record.name, made_at, (), vars(record))


@dataclass(frozen=True)
class Ended:
    """The steps that end what a task has left; ``archive`` and ``record`` are of the checkpoint that they complete."""

    steps: tuple[Step, ...]
    archive: str = ""
    record: Record | None = None


def end_left(working: str, archived: dict[str, Record], key_path: str | None = None) -> Ended:
    """Decides about a checkpoint that is not in its place: it is completed if its archive is whole, or removed.

    ``archived`` are the records of archives that were completed just now, by their paths. ``key_path`` is the key of
    the task, which signs what it completes.
    """
    for name in NAMES:
        path = os.path.join(working, name)
        record = archived.get(path) or read_record(path)
        if record is None or not record.sha256 or (path not in archived and size_of(path) != record.size_bytes):
            continue
        draft = read_draft(working) or _without_draft(working, record)
        steps = finish_steps(working, draft.id, manifest_text(draft, path, record), key_path)
        signature = os.path.join(working, SIGNATURE)
        if key_path is not None and os.path.lexists(signature):
            # It may be cut off, and ssh-keygen reports success when it leaves an old one in place.
            steps = (Remove(signature, why="remove the signature of the unfinished checkpoint"), *steps)
        return Ended(steps, os.path.join(final_folder(working, draft.id), name), record)
    return Ended((Remove(working, why="remove the unfinished checkpoint"),))
