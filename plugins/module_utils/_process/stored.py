# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes and finds the checkpoints of a process in a store.

The images are made in the folder of what is not whole yet, by the same steps as any images. Then the manifest is
written, and the folder gets the checkpoint's id as its name. The next task completes or removes what a killed one has
left there.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._criu.host_facts import host_facts, lock_of
from ansible_collections.criu.hosts.plugins.module_utils._process.settle import Found, Kept
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import (
    LATEST,
    Stored,
    find_stored,
    new_id,
    newest_whole,
    next_id,
    unusable,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import read_record
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host, Manifest, Part, render_manifest
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

KIND = "process"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def digests(folder: str) -> dict[str, str]:
    """Returns the SHA-256 of each file in a folder of images, by its name as a part of a stored checkpoint."""
    return {name: file_sha256(path) for name, path, dummy_size in _files(folder)}


def _files(folder: str) -> list[tuple[str, str, int]]:
    with os.scandir(folder) as entries:
        files = [one for one in entries if one.is_file(follow_symlinks=False)]
        return sorted((f"images/{one.name}", one.path, one.stat(follow_symlinks=False).st_size) for one in files)


def newest(options: ProcessOptions) -> Kept | None:
    """Returns the newest checkpoint without a fault, as its manifest describes it."""
    stored = newest_whole(options.store or "", KIND, options.name)
    if stored is None or stored.manifest is None:
        return None
    manifest = stored.manifest
    return Kept(stored.part("images"), ProcessRecord(**manifest.record), manifest.size_bytes)


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
    """A checkpoint that is to be made: most of its manifest is known before the dump, the parts after it."""

    images: str
    manifest: Manifest

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
        return finish_steps(self.working, self.manifest.id, lambda: manifest_text(self.manifest, self.images))


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
        options={name: getattr(options, name) for name in names},
    )
    return Draft(options.images_path, manifest)


def _left_draft(options: ProcessOptions, record: ProcessRecord) -> Draft:
    """Returns the draft that a killed task has left; without one, a manifest that knows nothing of the host."""
    now = time.time()
    made_at = record.checkpointed_at or time.strftime(_TIME, time.gmtime(now))
    fresh = Manifest(new_id(now, os.urandom(4)), KIND, options.name, made_at, (), vars(record))
    return Draft(options.images_path, read_draft(os.path.dirname(options.images_path)) or fresh)


def end_left(options: ProcessOptions, found: Found) -> Found:
    """Adds the steps that end what a killed task has left of a checkpoint: it is put in place if whole, or removed.

    ``found`` is what the images were settled to, and its ``kept`` becomes the newest checkpoint.

    Raises:
        CheckpointError: images_partial, images without a record are there, perhaps the only copy.
    """
    working, kept = os.path.dirname(options.images_path), newest(options)
    if not os.path.lexists(working) or found.unfinished:
        return replace(found, kept=kept)
    if found.images is None:
        return replace(found, kept=kept, steps=(*found.steps, Remove(working, why="remove the unfinished checkpoint")))
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
    done = Kept(draft.stored_images, record, found.images.size_bytes)
    said = (
        f"An earlier task died when it stored a checkpoint of {record.text}. This task has put it in place as "
        f"{os.path.dirname(done.path)!r}."
    )
    newer = kept is None or done.path > kept.path
    return replace(
        found, kept=done if newer else kept, completed=done, steps=(*found.steps, *draft.end()), said=said, saved=True
    )


def choose(options: ProcessOptions, completed: Kept | None) -> Stored | None:
    """Returns the wanted checkpoint; None if it is the one that this task completes.

    Raises:
        CheckpointError: checkpoint_missing, checkpoint_damaged, store_unreadable.
    """
    folder = os.path.dirname(completed.path) if completed is not None else ""
    if completed is not None and options.checkpoint == os.path.basename(folder):
        return None
    if completed is not None and options.checkpoint == LATEST:
        last = newest(options)
        if last is None or last.path < completed.path:
            return None
    return find_stored(options.store or "", KIND, options.name, options.checkpoint)


def require_parts(stored: Stored) -> None:
    """Refuses a checkpoint whose images are not those in its manifest.

    Raises:
        CheckpointError: checkpoint_damaged.
    """
    known = {part.name: part.sha256 for part in stored.manifest.parts} if stored.manifest is not None else {}
    try:
        found = digests(stored.part("images"))
    except OSError as error:
        raise unusable(stored.path, f"its images cannot be read ({error.strerror})") from error
    wrong = sorted(name for name in {*known, *found} if known.get(name) != found.get(name))
    if wrong:
        raise unusable(stored.path, f"its part {wrong[0]!r} is not the one in its manifest")
