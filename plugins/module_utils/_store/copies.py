# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines what both ways of copying a checkpoint share: the request, the small files, and the proof of what came."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.option import option_invalid
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Rename, Step
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import (
    LATEST,
    MANIFEST,
    SIGNATURE,
    Stored,
    damaged,
    list_stored,
    part_path,
    stored_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import ID, Manifest, parse_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import NAME
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_store_path

_ADVICE = "Give one that checkpoint_info shows."


@dataclass(frozen=True)
class Request:
    """A checkpoint by its id, or the newest one, of a container or process, and the store of this host."""

    store: str
    kind: str
    name: str
    wanted: str = LATEST

    def path(self, identity: str) -> str:
        return stored_path(self.store, self.kind, self.name, identity)

    def partial(self, identity: str) -> str:
        return part_path(self.store, self.kind, self.name, identity)


def check_request(request: Request) -> None:
    """Refuses names that lead out of the store, and a store that others could change.

    Raises:
        CheckpointError: option_invalid, store_unsafe.
    """
    if not re.fullmatch(NAME, request.name) or not request.name:
        raise option_invalid("name", request.name, "it is not the name of a container or process", _ADVICE)
    if request.wanted != LATEST and not re.fullmatch(ID, request.wanted):
        why = f"it is neither {LATEST!r} nor the id of a checkpoint"
        raise option_invalid("checkpoint", request.wanted, why, _ADVICE)
    check_store_path(request.store)


def different(path: str, what: str) -> CheckpointError:
    """Returns the refusal to replace a checkpoint that has the same id."""
    return CheckpointError(
        f"Cannot copy the checkpoint to {path!r}: {what}, and is not replaced. Remove it, then run the task again.",
        reason="checkpoint_differs",
        path=path,
    )


def text_names(manifest: Manifest) -> tuple[str, ...]:
    """Returns the names of the files that are small texts: the manifest, its signature, the record of an archive."""
    records = tuple(f"{part.name}.json" for part in manifest.parts if ".tar" in part.name and "/" not in part.name)
    return (MANIFEST, SIGNATURE, *(name for name in records if not name.endswith(".json.json")))


def own_texts(stored: Stored, manifest: Manifest) -> dict[str, bytes]:
    """Returns the small texts of a checkpoint as they are in the store.

    Raises:
        CheckpointError: checkpoint_damaged.
    """
    found = {}
    for name in text_names(manifest):
        try:
            data = read_own(stored.part(name))
        except ValueError as error:
            raise damaged(f"copy {stored.path!r}", f"its {name} cannot be read: {error}", "Make it again.") from error
        if data is not None:
            found[name] = data
    return found


def parse_received(data: str | bytes, request: Request, identity: str, what: str) -> Manifest:
    """Returns the manifest of a checkpoint that comes from elsewhere.

    Raises:
        CheckpointError: checkpoint_damaged.
    """
    advice = "Copy another checkpoint, or push this one again from the store that has it."
    try:
        manifest = parse_manifest(data)
    except ValueError as error:
        raise damaged(f"copy {what}", f"its manifest cannot be used: {error}", advice) from error
    if (manifest.kind, manifest.name, manifest.id) != (request.kind, request.name, identity):
        raise damaged(f"copy {what}", f"it is the {manifest.kind} checkpoint {manifest.name}/{manifest.id}", advice)
    return manifest


def demand_alone(manifest: Manifest, what: str) -> None:
    """Refuses a checkpoint that cannot be restored without its parent, and a pre-checkpoint.

    Raises:
        CheckpointError: ability_missing.
    """
    if manifest.record.get("pre_dump") is True:
        raise CheckpointError(
            f"Cannot copy {what}: it is a pre-checkpoint, which holds memory and no processes. Copy a checkpoint that "
            "was made without one.",
            reason="ability_missing",
        )
    if manifest.parent:
        raise CheckpointError(
            f"Cannot copy {what}: it needs the checkpoint {manifest.parent!r}, and one that needs another is not "
            "copied. Make one without a pre-checkpoint.",
            reason="ability_missing",
        )


def find_local(request: Request, identity: str) -> Stored | None:
    """Returns the checkpoint with this id in the store of this host, whole or not."""
    return next((one for one in list_stored(request.store, request.kind, request.name) if one.id == identity), None)


def arrival_steps(request: Request, identity: str, check: Callable[[], object]) -> tuple[Step, ...]:
    """Plans to prove a checkpoint that has come, and to give it its name."""
    partial = request.partial(identity)
    images = os.path.join(partial, "images")
    # Each rename makes the files in a folder durable, but not those in folders below it.
    durable = (Rename(images, images, 0o600, why="store the images"),) if request.kind == "process" else ()
    return (
        Check(check, why="compare the copy with its manifest"),
        *durable,
        Rename(partial, request.path(identity), 0o600, why="give the copy its name"),
    )


def prove_received(path: str, request: Request, identity: str, expected: bytes | None = None) -> None:
    """Compares each file of a checkpoint that has come with its manifest.

    Args:
        expected: the manifest, where it was known before.

    Raises:
        CheckpointError: checkpoint_damaged.
    """
    what, advice = f"the checkpoint {identity!r} to {path!r}", "Run the task again."
    try:
        data = read_own(os.path.join(path, MANIFEST))
    except ValueError as error:
        raise damaged(f"copy {what}", f"its manifest cannot be read: {error}", advice) from error
    if data is None or (expected is not None and data != expected):
        raise damaged(f"copy {what}", "its manifest is missing, or not the one that was announced", advice)
    manifest = parse_received(data, request, identity, what)
    known = {part.name for part in manifest.parts}
    found = {
        os.path.relpath(os.path.join(folder, name), path)
        for folder, folders, names in os.walk(path)
        for name in (*names, *(one for one in folders if os.path.islink(os.path.join(folder, one))))
    }
    wrong = sorted((known - found) | (found - known - set(text_names(manifest))))
    if wrong:
        raise damaged(f"copy {what}", f"its files are not those in its manifest: {wrong[0]!r}", advice)
    for part in manifest.parts:
        if file_sha256(os.path.join(path, part.name)) != part.sha256:
            raise damaged(
                f"copy {what}", f"its part {part.name!r} has a different SHA-256 than its manifest says", advice
            )


def shown(request: Request, manifest: Manifest, *, signed: bool, **place: Any) -> dict[str, Any]:
    """Returns the checkpoint for the result; ``place`` is where its other copy is."""
    empty = {"image": None, "host": None, "host_path": None}
    return {
        "kind": manifest.kind,
        "name": manifest.name,
        "id": manifest.id,
        "path": request.path(manifest.id),
        "size_bytes": manifest.size_bytes,
        "signed": signed,
        **empty,
        **place,
    }
