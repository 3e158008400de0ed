# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the restore of a container: what the engine does, the proof of every label, the health checks, the end."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.leftovers import leftovers
from ansible_collections.criu.hosts.plugins.module_utils._container.notes import removal
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_health import health_steps
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_note import (
    begin_restore,
    close_steps,
    removal_of_import,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Command, MakeDir, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import COMPRESSED, limited
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import folder_bytes
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import borrow, read_loan
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import size_of
from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_record_path, restored_path
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import kind_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore


def restore_steps(work: Restore) -> tuple[Step, ...]:
    """Plans the engine's steps, with the boolean switched on for their time, and the reaction to their failure."""
    engine, desired, situation = work.engine, work.desired, work.situation
    steps: tuple[Step, ...] = ()
    undo: tuple[Step, ...] = (*leftovers(work), *close_steps(work))
    if work.source == "container" and situation.container is not None:
        # The engine may throw the checkpoint away after a restore: it has to stay until the labels are proved.
        keep = desired.options.keep or work.lsm != "none"
        steps = engine.restore_steps(situation.container, replace(desired.options, keep=keep))
        steps = limited(steps, folder_bytes(engine.images_dir(situation.container)))
    elif work.imports:
        steps = _import_steps(work)
        first, *volumes = removal_of_import(work, "remove what the failed restore has left")
        left = replace(first, unless=work.left_nothing) if isinstance(first, Command) else first
        undo = (left, *volumes, *undo)
    told = tuple(replace(one, explain=work.explain, undo=undo) if isinstance(one, Command) else one for one in steps)
    return borrow(told, situation.selinux, read_loan(work.ctx.paths), situation.process_label)


def _import_steps(work: Restore) -> tuple[Step, ...]:
    """Plans the engine's import, from an image or from an archive."""
    engine, desired, situation = work.engine, work.desired, work.situation
    runtime = situation.record.runtime if situation.record else ""
    path, previous = desired.archive_path or "", situation.previous(desired.archive_path)
    if situation.image is not None:
        steps = engine.images.import_steps(situation.image, runtime, desired.new_name, desired.options)
        return limited(steps, situation.image.size_bytes)
    if kind_of(path):
        # Few archives are encrypted: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.secure import import_steps

        steps = import_steps(engine, path, runtime, desired)
    else:
        steps = engine.import_steps(path, runtime, desired.new_name, desired.options, previous)
    size = (size_of(path) or 0) + ((size_of(previous) or 0) if previous else 0)
    return limited(steps, size * COMPRESSED)


def proof_steps(work: Restore) -> tuple[Step, ...]:
    """Plans to find the container and to prove its labels; a wrong label ends it."""
    name = work.desired.target
    close = close_steps(work)
    seen = Check(work.import_seen, why=f"notice the import of container {name!r}")
    # If the engine gives no answer, the next task looks again, and completes the restore.
    known = tuple(replace(one, unless=work.unread) for one in close)
    find = Check(work.find, why=f"find container {name!r}", undo=known)
    if work.lsm == "none":
        return (seen, find)
    if work.source == "container":
        stop = work.engine.stop_steps(work.situation.container or name, f"stop container {name!r}")
    else:
        stop = removal_of_import(work, f"remove container {name!r}")
    return (
        seen,
        find,
        Check(work.read_labels, why=f"read the labels of container {name!r}", undo=close),
        Check(work.compare_labels, why=f"compare the labels of container {name!r}", undo=(*stop, *close)),
    )


def last_steps(work: Restore) -> tuple[Step, ...]:
    """Plans the end: remove the used checkpoint in place, unless ``keep`` is set; or note the archive."""
    desired, container = work.desired, work.situation.container
    if work.imports:
        path = restored_path(work.ctx.paths, desired.target)
        return (
            MakeDir(os.path.dirname(path), why="make the folder"),
            WriteFile(path, work.note, why="note where the container is from in"),
        )
    if container is None:
        return ()
    if desired.options.keep:
        record = work.situation.record
        if record is None or record.ran_on:
            return ()
        place = place_record_path(work.ctx.paths, container.id)
        text = render_record(replace(record, ran_on=True))
        return (
            MakeDir(os.path.dirname(place), why="make the folder"),
            WriteFile(place, text, why="note that the container runs on in"),
        )
    paths: tuple[str, ...] = (place_record_path(work.ctx.paths, container.id),)
    if work.lsm != "none":
        paths = (*work.engine.checkpoint_files(container), *paths)
    return removal(work.engine, container, paths, container.stamp)


def all_steps(work: Restore) -> tuple[Step, ...]:
    """Plans the whole restore."""
    steps = restore_steps(work)
    rest = (*proof_steps(work), *health_steps(work), *last_steps(work), *close_steps(work))
    return (*begin_restore(work), *steps, *rest)
