# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Pulls an image that ``podman container checkpoint --create-image`` has made into a store.

Such an image has one layer, which is the archive that --export would have written (libpod/container_internal_common.go,
createCheckpointImage), and annotations. So the layer becomes the archive of a checkpoint, and its manifest is made of
what the archive says about its container.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from ansible_collections.criu.hosts.plugins.module_utils._core.command import check
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Outcome,
    Plan,
    Remove,
    Rename,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.annotations import PREFIX, host_in
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import read_config_dump
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._store.copies import (
    Request,
    arrival_steps,
    different,
    find_local,
    prove_received,
    shown,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import LATEST, MANIFEST, damaged, new_id
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest, Part, render_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.oci import IMAGE_LIMIT, blob
from ansible_collections.criu.hosts.plugins.module_utils._store.registry import IMAGE, Registry

STORAGE = "containers-storage:"
_TAG = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
MADE = re.compile(rf"{STORAGE}{IMAGE.pattern}(?:{_TAG})?|{IMAGE.pattern}{_TAG}")
# A push compresses the layer, and may write the image in docker's form.
_LAYER = re.compile(r"application/vnd\.(?:oci\.image\.layer\.v1|docker\.image\.rootfs\.diff)\.tar(?:[.+](gzip|zstd))?")
_NAMES = {None: "archive.tar", "gzip": "archive.tar.gz", "zstd": "archive.tar.zst"}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?Z")


@dataclass(frozen=True)
class Made:
    """An image that podman has made: its layer as the archive of a checkpoint, and its annotations without PREFIX."""

    layer: Part
    notes: dict[str, str]


def is_made(image: str) -> bool:
    """Returns whether the option names one image, and not the repository with the images of checkpoint_copy."""
    return MADE.fullmatch(image) is not None


def _reference(image: str) -> str:
    return image if image.startswith(STORAGE) else f"docker://{image}"


def parse_made(text: str | bytes) -> Made:
    """Returns what the manifest of an image says.

    Raises:
        ValueError: with the reason, if podman has not made it of a checkpoint.
    """
    if len(text) > IMAGE_LIMIT:
        raise ValueError("its manifest is too large")
    entries = parse_object(text)
    layers, notes = entries.get("layers"), entries.get("annotations")
    if not isinstance(notes, dict) or not isinstance(notes.get(f"{PREFIX}name"), str):
        raise ValueError("it has no annotation of a checkpoint")
    if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], dict):
        raise ValueError("it does not have one layer")
    kind, digest, size = (layers[0].get(key) for key in ("mediaType", "digest", "size"))
    media = _LAYER.fullmatch(kind) if isinstance(kind, str) else None
    found = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    if media is None or found is None or isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 63:
        raise ValueError("its layer is no archive")
    kept = {key[len(PREFIX) :]: one for key, one in notes.items() if key.startswith(PREFIX) and isinstance(one, str)}
    return Made(Part(_NAMES[media.group(1)], size, found.group(1)), kept)


def parse_created(text: str | bytes) -> datetime:
    """Returns when an image was created, out of its configuration.

    Raises:
        ValueError: it does not say this.
    """
    value = parse_object(text).get("created")
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("it does not say when it was made")
    return datetime.fromisoformat(found.group(1)).replace(tzinfo=timezone.utc)


def _manifest(request: Request, identity: str, made: Made, created: datetime, archive: str) -> str:
    """Returns the manifest of the archive that has come."""
    own = read_config_dump(archive)
    if own.name != request.name:
        raise damaged(f"copy {archive!r}", f"it is of the container {own.name!r}", "Give that name.")
    at = f"{created:%Y-%m-%dT%H:%M:%SZ}"
    record = replace(own, checkpointed_at=at, size_bytes=made.layer.size_bytes, sha256=made.layer.sha256)
    fields = parse_object(json.dumps(vars(record)))
    return render_manifest(
        Manifest(identity, request.kind, request.name, at, (made.layer,), fields, host=host_in(made.notes))
    )


def pull_made(ctx: Context, request: Request, registry: Registry) -> Outcome:
    """Pulls the image, unless the store has its checkpoint. The id is made of the image's time and its layer's digest.

    Raises:
        CheckpointError: as RETURN of checkpoint_copy lists them.
    """
    source, what = _reference(registry.image), repr(registry.image)
    options = registry.options() if not registry.image.startswith(STORAGE) else ()
    advice = "Check its name, and that it is there."
    texts = [
        check(ctx.runner.run(("skopeo", "inspect", *words, *options, source)), f"read {what}", advice=advice).out
        for words in (("--raw",), ("--config", "--raw"))
    ]
    try:
        made, created = parse_made(texts[0]), parse_created(texts[1])
    except ValueError as error:
        advice = "Give an image that 'podman container checkpoint --create-image' has made."
        raise damaged(f"copy {what}", str(error), advice) from error
    if made.notes["name"] != request.name or request.kind != "container":
        raise damaged(f"copy {what}", f"it is of the container {made.notes['name'][:120]!r}", "Give that name.")
    identity = new_id(created.timestamp(), bytes.fromhex(made.layer.sha256))
    if request.wanted not in (LATEST, identity):
        raise CheckpointError(
            f"Cannot copy the checkpoint {request.wanted!r}: the one in {what} is {identity!r}. Leave checkpoint out.",
            reason="checkpoint_missing",
        )
    after = {"path": request.path(identity)}
    value = shown(request, _expected(request, identity, made), signed=False, image=registry.image)
    local = find_local(request, identity)
    if local is not None:
        if local.manifest is None or local.fault or local.manifest.parts != (made.layer,):
            raise different(local.path, local.fault or f"it differs from the one in {what}")
        return Outcome("checkpoint", value, Plan(before=after, after=after))
    plan = Plan(before={}, after=after, steps=_steps(request, registry, made, created, identity))
    ctx.apply(plan)
    return Outcome("checkpoint", value, plan)


def _expected(request: Request, identity: str, made: Made) -> Manifest:
    return Manifest(identity, request.kind, request.name, "", (made.layer,), {})


def _steps(request: Request, registry: Registry, made: Made, created: datetime, identity: str) -> tuple[Step, ...]:
    partial = request.partial(identity)
    folder, archive = f"{partial}.pull", os.path.join(partial, made.layer.name)
    return (
        MakeDir(folder, why="make the folder of the image"),
        Command(
            registry.copy(_reference(registry.image), f"oci:{folder}:{identity}", "src-"),
            why=f"pull the checkpoint in {registry.image!r}",
        ),
        Remove(partial, why="remove the rest of an earlier pull"),
        MakeDir(partial, why="make the folder of the checkpoint"),
        Rename(os.path.join(folder, blob(made.layer.sha256)), archive, 0o600, why="take the archive"),
        WriteFile(
            os.path.join(partial, MANIFEST),
            lambda: _manifest(request, identity, made, created, archive),
            why="write the manifest",
        ),
        *arrival_steps(request, identity, lambda: prove_received(partial, request, identity)),
        Remove(folder, why="remove the folder of the image"),
    )
