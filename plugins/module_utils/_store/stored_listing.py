# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the checkpoints in a store by their manifests. The parts are read only for details, or to compare digests."""

from __future__ import annotations

import os
from typing import Any, Collection

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.contents import escaped
from ansible_collections.criu.hosts.plugins.module_utils._store.entries import (
    AnyRecord,
    Checkpoint,
    entry_of,
    shown_record,
    summary_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored, list_stored
from ansible_collections.criu.hosts.plugins.module_utils._store.listing import (
    Contents,
    archive_contents,
    images_contents,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record, record_of
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import kind_of
from ansible_collections.criu.hosts.plugins.module_utils._store.working import archive_part


def list_store(
    store: str, kind: str | None, name: str | None, contents: Contents, details: Collection[str], *, verify: bool
) -> list[Checkpoint]:
    """Returns the checkpoints in a store, of one kind and name if given, newest first; a damaged one with its reason.

    Without ``details``, the contents are not read.

    Raises:
        CheckpointError: store_missing, store_unreadable.
    """
    if not os.path.isdir(store):
        raise CheckpointError(
            f"Cannot list the store {store!r}: there is no such folder. Make a checkpoint with this store first.",
            reason="store_missing",
            path=store,
        )
    compared: dict[str, list[str]] | None = {} if verify else None
    return [_checkpoint(one, contents, details, compared) for one in list_stored(store, kind, name)]


def _record(manifest: Manifest) -> AnyRecord:
    if manifest.kind == "process":
        return ProcessRecord(**manifest.record)
    return record_of(manifest.record)


def _shown_host(manifest: Manifest) -> dict[str, Any]:
    # The features of a processor are many words, and the same for most checkpoints.
    found = {key: value for key, value in vars(manifest.host).items() if key != "cpu_features"}
    return {key: escaped(value) if isinstance(value, str) else value for key, value in found.items()}


def _damaged(stored: Stored, compared: dict[str, list[str]]) -> list[str]:
    """Returns the parts with other digests than the manifest has, or which cannot be read.

    Those of the checkpoints that it is built on are named ID/PART. ``compared`` has what is known, by the paths.
    """
    found = []
    for one in (stored, *stored.parents):
        if one.path not in compared:
            compared[one.path] = _own_damaged(one)
        found += [name if one is stored else f"{one.id}/{name}" for name in compared[one.path]]
    return found


def _own_damaged(stored: Stored) -> list[str]:
    found = []
    for part in stored.manifest.parts if stored.manifest is not None else ():
        try:
            same = file_sha256(stored.part(part.name)) == part.sha256
        except OSError:
            same = False
        found += [] if same else [part.name]
    return found


def _checkpoint(
    stored: Stored, contents: Contents, details: Collection[str], compared: dict[str, list[str]] | None
) -> Checkpoint:
    manifest, path = stored.manifest, stored.path
    about: dict[str, Any] = {"kind": stored.kind, "checkpoint": stored.id, "name": stored.name}
    about.update(pinned=stored.pinned, signed=stored.signed)
    if stored.fault:
        about.update(reason="checkpoint_damaged", message=f"Cannot use {escaped(path)!r}: {escaped(stored.fault)}.")
    if manifest is None:
        return Checkpoint(path, entry_of(path, **about))
    record = _record(manifest)
    archive = archive_part(manifest)
    path = stored.part("images" if manifest.kind == "process" else archive.name if archive is not None else "")
    about.update(
        size_bytes=manifest.size_bytes,
        made_at=manifest.made_at,
        record=shown_record(record),
        encrypted=manifest.kind == "container" and bool(kind_of(path)),
        why=manifest.why,
        who=manifest.who,
        pre_checkpoint=stored.pre_dump,
        parent=manifest.parent or None,
        host=_shown_host(manifest),
        **(summary_of(record) if isinstance(record, Record) else {}),
    )
    if compared is not None and not stored.fault:
        damaged = _damaged(stored, compared)
        about.update(verified=not damaged, damaged_parts=damaged)
    if details and not stored.fault:
        about.update(_contents(path, manifest, contents, details))
    parents = tuple(one.part("images") for one in stored.parents)
    return Checkpoint(path, entry_of(path, **about), record, manifest.host, manifest.options, parents)


def _contents(path: str, manifest: Manifest, contents: Contents, details: Collection[str]) -> dict[str, Any]:
    try:
        if manifest.kind == "process":
            return images_contents(path, details)
        return archive_contents(path, contents, details, verify=False)[1]
    except CheckpointError as error:
        return {"reason": error.reason, "message": escaped(error.message)}
