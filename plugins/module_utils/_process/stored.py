# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes and finds the checkpoints of a process in a store.

The images are made in the folder of what is not whole yet, by the same steps as any images. Then the manifest is
written, and the folder gets the checkpoint's id as its name. The next task completes or removes what a killed one has
left there.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._criu.host_facts import host_facts, lock_of
from ansible_collections.criu.hosts.plugins.module_utils._process.settle import Found, Kept
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import (
    LATEST,
    SIGNATURE,
    Stored,
    find_stored,
    list_stored,
    new_id,
    next_id,
    passed_over,
    unusable,
    with_parents,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import read_record
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import (
    ID,
    Host,
    Manifest,
    Part,
    render_manifest,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.working import (
    draft_steps,
    final_folder,
    finish_steps,
    read_draft,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._process.checkpoint_steps import Dump
    from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
    from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images

KIND = "process"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def digests(folder: str) -> dict[str, str]:
    """Returns the SHA-256 of each file in a folder of images, by its name as a part of a stored checkpoint."""
    return {name: file_sha256(path) for name, path, dummy_size in _files(folder)}


def _files(folder: str) -> list[tuple[str, str, int]]:
    with os.scandir(folder) as entries:
        files = [one for one in entries if one.is_file(follow_symlinks=False)]
        return sorted((f"images/{one.name}", one.path, one.stat(follow_symlinks=False).st_size) for one in files)


def is_built_on(stored: Stored | None, wanted: str) -> bool:
    """Returns whether a checkpoint is built on the one with this id, on any for "latest", or on none if it is empty."""
    parent = stored.manifest.parent if stored is not None and stored.manifest is not None else ""
    return bool(parent) if wanted == LATEST else parent == wanted


def is_signed(stored: Stored | None, *, running: bool) -> bool:
    """Returns whether a current checkpoint counts for a task that signs: one without a signature counts as none.

    A store may also have checkpoints that come from elsewhere: the key must not vouch for these.

    Raises:
        CheckpointError: signing_failed, it has no signature, and the process no longer runs.
    """
    if stored is None or stored.signed or running:
        return stored is not None and stored.signed
    # Few tasks find one: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._store.signature import unproved

    raise unproved(stored.path)


def on_parents(stored: Stored, images: Images | None) -> Images | None:
    """Returns the images of a checkpoint with those that they are based on, as the manifests say."""
    if images is None:
        return None
    return replace(images, parents=tuple(one.part("images") for one in stored.parents))


def all_of(options: ProcessOptions, completed: Kept | None = None) -> list[Stored]:
    """Returns the checkpoints of the process, newest first, with the one that this task completes.

    Raises:
        CheckpointError: store_unreadable.
    """
    found = list_stored(options.store or "", KIND, options.name)
    done = completed.stored if completed is not None else None
    if done is None or done.id in {one.id for one in found}:
        return found
    return sorted((*found, done), key=lambda one: one.id, reverse=True)


def newest(options: ProcessOptions, completed: Kept | None = None) -> tuple[Kept | None, tuple[str, ...]]:
    """Returns the newest checkpoint without a fault, of the kind that the task makes, and warnings about damaged ones.

    It is as its manifest describes it.
    """
    warnings = []
    for one in all_of(options, completed):
        if one.fault or one.manifest is None:
            warnings.append(passed_over(one, one.fault))
        elif completed is not None and one is completed.stored and one.pre_dump is options.pre_dump:
            return completed, tuple(warnings)
        elif one.pre_dump is options.pre_dump:
            record, size = ProcessRecord(**one.manifest.record), one.manifest.size_bytes
            return Kept(one.part("images"), record, size, one), tuple(warnings)
    return None, tuple(warnings)


def manifest_text(draft: Manifest, images: str) -> str:
    """Returns the manifest of images that are complete and recorded.

    Raises:
        CheckpointError: checkpoint_damaged, images_invalid.
        OSError: an image cannot be read.
    """
    record = read_record(images)
    if record is None:
        raise unusable(images, "its record is missing")
    parts = tuple(Part(name, size, file_sha256(path)) for name, path, size in _files(images))
    host = replace(draft.host, network_lock=lock_of(images))
    return render_manifest(replace(draft, parts=parts, record=vars(record), host=host))


@dataclass(frozen=True)
class Draft:
    """A checkpoint that is to be made: most of its manifest is known before the dump, the parts after it.

    ``key_path``: the key that signs it, if any.
    """

    images: str
    manifest: Manifest
    key_path: str | None = None

    @property
    def working(self) -> str:
        return os.path.dirname(self.images)

    @property
    def stored_images(self) -> str:
        """The path of the images when the checkpoint is in its place."""
        return os.path.join(final_folder(self.working, self.manifest.id), "images")

    def around(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Plans the checkpoint; ``steps`` make the images."""
        return (*draft_steps(self.working, self.manifest), *steps, *self.end())

    def end(self) -> tuple[Step, ...]:
        text = partial(manifest_text, self.manifest, self.images)
        return finish_steps(self.working, self.manifest.id, text, self.key_path)

    def stored(self, record: ProcessRecord) -> Stored:
        """Returns the checkpoint as it will be listed, but for its parts."""
        signed = self.key_path is not None or os.path.lexists(os.path.join(self.working, SIGNATURE))
        manifest = replace(self.manifest, record=vars(record))
        return Stored(os.path.dirname(self.stored_images), KIND, manifest.name, manifest.id, manifest, signed=signed)


def draft_of(ctx: Context, work: Dump) -> Draft:
    """Reads what the manifest says about the host; the caller holds the locks."""
    from ansible_collections.criu.hosts.plugins.module_utils._store.origin import who

    options, now = work.options, time.time()
    names = ("leave_running", "shell_job", "tcp_established", "file_locks")
    manifest = Manifest(
        id=next_id(options.store or "", KIND, options.name, now, os.urandom(4)),
        kind=KIND,
        name=options.name,
        made_at=time.strftime(_TIME, time.gmtime(now)),
        parts=(),
        record=vars(work.known()),
        host=Host(**host_facts(ctx.paths, work.criu.text)),
        why=options.why,
        who=who(ctx.paths),
        parent=options.parent,
        options={name: getattr(options, name) for name in names},
    )
    return Draft(options.images_path, manifest, options.signing_key)


def _left_draft(options: ProcessOptions, record: ProcessRecord) -> Draft:
    """Returns the draft that a killed task has left; without one, a manifest that knows nothing of the host."""
    now = time.time()
    made_at = record.checkpointed_at or time.strftime(_TIME, time.gmtime(now))
    parent = os.path.basename(os.path.dirname(record.parent))
    parent = parent if re.fullmatch(ID, parent) else ""
    fresh = Manifest(new_id(now, os.urandom(4)), KIND, options.name, made_at, (), vars(record), parent=parent)
    manifest = read_draft(os.path.dirname(options.images_path)) or fresh
    return Draft(options.images_path, manifest, options.signing_key)


def end_left(options: ProcessOptions, found: Found) -> Found:
    """Adds the steps that end what a killed task has left of a checkpoint: it is put in place if whole, or removed.

    ``found`` is what the images were settled to, and its ``kept`` becomes the newest checkpoint.

    Raises:
        CheckpointError: images_partial, images without a record are there, perhaps the only copy.
    """
    working = os.path.dirname(options.images_path)
    kept, passed = newest(options)
    found = replace(found, kept=kept, passed=passed)
    if not os.path.lexists(working) or found.unfinished:
        return found
    if found.images is None:
        return replace(found, steps=(*found.steps, Remove(working, why="remove the unfinished checkpoint")))
    record = found.images.record
    if record is None:
        raise CheckpointError(
            f"Cannot work on the store {options.store!r}: {options.images_path!r} is left of an earlier checkpoint, "
            "has no record, and may be the only copy of a process. Restore it from there (images_path), or remove "
            f"{working!r}.",
            reason="images_partial",
            path=options.images_path,
        )
    draft = _left_draft(options, record)
    stored = next(one for one in with_parents([*all_of(options), draft.stored(record)]) if one.id == draft.manifest.id)
    done = Kept(draft.stored_images, record, found.images.size_bytes, stored)
    said = (
        f"An earlier task died when it stored a checkpoint of {record.text}. This task has put it in place as "
        f"{stored.path!r}."
    )
    kept, passed = newest(options, done)
    steps = (*found.steps, *draft.end())
    return replace(found, kept=kept, passed=passed, completed=done, steps=steps, said=said, saved=True)


def choose(options: ProcessOptions, completed: Kept | None) -> tuple[Stored, tuple[str, ...]]:
    """Returns the wanted checkpoint, which may be the one that this task completes, and warnings about damaged ones.

    Raises:
        CheckpointError: checkpoint_missing, checkpoint_damaged, store_unreadable.
    """
    found = all_of(options, completed)
    if options.checkpoint != LATEST:
        return _usable(options, found, options.checkpoint), ()
    whole = [one for one in found if not one.fault and not one.pre_dump]
    if whole:
        return whole[0], tuple(passed_over(one, one.fault) for one in found if one.fault and one.id > whole[0].id)
    if found and all(not one.fault for one in found):
        raise CheckpointError(
            f"Cannot restore process {options.name!r}: the store {options.store!r} has only pre-dumps of it, which are "
            "memory without processes. Make a checkpoint that is built on one (parent).",
            reason="checkpoint_missing",
            path=options.store,
        )
    return _usable(options, [one for one in found if one.fault], LATEST), ()


def _usable(options: ProcessOptions, found: list[Stored], wanted: str) -> Stored:
    """Returns the newest of these checkpoints that is wanted and has no fault.

    Raises:
        CheckpointError: checkpoint_missing, checkpoint_damaged.
    """
    named = [one for one in found if wanted in (LATEST, one.id)]
    whole = next((one for one in named if not one.fault), None)
    if whole is None and named:
        raise unusable(named[0].path, named[0].fault)
    return whole or find_stored(options.store or "", KIND, options.name, wanted)
