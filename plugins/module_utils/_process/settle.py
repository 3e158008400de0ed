# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Completes or undoes what a task that was killed has begun with a folder of images.

The task that looks here holds the lock of the images, and CRIU holds it to its end. So who left the note is gone. The
look changes nothing: it returns steps, and what the folder holds once they have run, so check mode predicts them too.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Remove, Rename, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN, RECORD
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import read_unit
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import read_loan, return_steps
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import (
    begun_paths,
    find_copy,
    read_pid,
    restored_by,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._process.proof import Evidence, Proof, labels_before
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_unit import drop_in_path
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun, end_step
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    begun_path,
    inventory_hash,
    is_empty,
    note_path,
    old_path,
    read_images,
    read_labels,
    work_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord, parse_record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import partial_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored

_OURS = b"# By criu.hosts"


@dataclass(frozen=True)
class Kept:
    """Images that are whole and in their place, or will be: what their record says. ``path`` is that place.

    ``stored``: the checkpoint that they are in; None without a store.
    """

    path: str
    record: ProcessRecord | None
    size_bytes: int
    stored: Stored | None = None


@dataclass(frozen=True)
class Found:
    """What the folder holds after ``steps``; in check mode the images may still have a temporary name.

    ``said``: what the steps complete or undo. ``saved``: the images were put in place, and may be the only copy of
    their process. ``proof``: that of a restored process. ``unfinished``: other images are there, of which nobody knows
    whether they are the only copy. ``kept``: the newest checkpoint in the store, of the kind that the task makes;
    ``completed``: the one that the steps put in place there; ``stored``: the one that a restore takes.
    ``passed``: warnings about damaged ones that are newer.
    """

    images: Images | None = None
    steps: tuple[Step, ...] = ()
    said: str = ""
    saved: bool = False
    proof: Proof | None = None
    unfinished: bool = False
    kept: Kept | None = None
    completed: Kept | None = None
    stored: Stored | None = None
    passed: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*((self.said,) if self.said else ()), *self.passed)


def drop_in_steps(paths: Paths, unit: str, *, begun: bool) -> tuple[Step, ...]:
    """Plans the removal of a drop-in that a killed task has left. ``begun``: systemd may have read it already."""
    path = drop_in_path(paths, unit)
    folder = os.path.dirname(path)
    try:
        data = read_below(folder, os.path.basename(path), limit=64 << 10)
    except OSError:
        data = None
    ours = data is not None and data.startswith(_OURS)
    if not ours and not begun:
        return ()
    names = os.listdir(folder) if os.path.isdir(folder) else [""]
    empty = not [name for name in names if not ours or name != os.path.basename(path)]
    return (
        *((Remove(folder if empty else path, why="remove the drop-in"),) if ours or empty else ()),
        Command(("systemctl", "daemon-reload"), why="reload systemd"),
    )


def left_steps(ctx: Context, units: tuple[str, ...], begun: Begun | None) -> tuple[Step, ...]:
    """Plans the removal of the drop-ins of ``units`` that a killed task has left."""
    known = begun.facts.get("unit", "") if begun is not None else ""
    return tuple(step for unit in units for step in drop_in_steps(ctx.paths, unit, begun=unit == known))


def boolean_steps(ctx: Context) -> tuple[Step, ...]:
    """Plans to switch off the boolean that a killed task has left on; a restore does so itself."""
    loan = read_loan(ctx.paths, DYNTRANS_BOOLEAN) if ctx.is_root else None
    return return_steps(loan) if loan is not None and loan.left_on else ()


def _parsed(text: str) -> ProcessRecord | None:
    try:
        return parse_record(text)
    except ValueError:
        return None


def dumped_process(begun: Begun | None) -> ProcessRecord | None:
    """Returns the record that the dump which has begun was going to write; its inventory is not known yet."""
    return _parsed(begun.facts.get("record", "")) if begun is not None and begun.action == "dumping" else None


def _whole(path: str, record: ProcessRecord | None) -> Images | None:
    """Returns the images if CRIU has completed them; it writes the inventory last."""
    try:
        images = read_images(path) if inventory_hash(path) else None
        if images is None or not images.tasks:
            return None
        read_labels(images)
    except CheckpointError:
        return None
    return images if record is None else replace(images, record=replace(record, inventory=images.digest))


def tidy_steps(path: str) -> tuple[Step, ...]:
    """Plans the removal of unfinished images, and of those that were replaced, or their return."""
    partial, old = partial_path(path), old_path(path)
    why = "remove what is left of the checkpoint"
    steps: list[Step] = [Remove(one, why=why) for one in (partial, work_path(partial)) if os.path.lexists(one)]
    if os.path.isdir(old):
        back = not os.path.lexists(path)
        steps.append(Rename(old, path, why="put back the old images at") if back else Remove(old, why=why))
    return tuple(steps)


def complete_steps(path: str, record: ProcessRecord) -> tuple[Step, ...]:
    """Plans to put whole images in place."""
    partial, old = partial_path(path), old_path(path)
    aside = (Remove(old, why="remove the old images"), Rename(path, old, why="put aside the old images"))
    return (
        WriteFile(os.path.join(partial, RECORD), render_record(record), why="write the record"),
        *(() if is_empty(path) else aside),
        Rename(partial, path, mode=0o600, why="put the images in place at"),
        Remove(old, why="remove the old images"),
        Remove(note_path(path), why="remove the note of a restore"),
        Remove(work_path(partial), why="remove the log"),
        end_step(begun_path(path)),
    )


def _now(path: str) -> Images | None:
    """Returns the images; those that were put aside if a task was killed before it put others in their place."""
    old = old_path(path)
    return read_images(old if not os.path.lexists(path) and os.path.isdir(old) else path)


def _proof(ctx: Context, options: ProcessOptions, images: Images, process: Process) -> Proof:
    return Proof(
        Evidence(ctx.paths, images, options, read_selinux(ctx.paths), labels_before(ctx.paths, images)), process
    )


def _dumping(ctx: Context, options: ProcessOptions, record: ProcessRecord) -> Found:
    path, partial = options.images_path, partial_path(options.images_path)
    end = end_step(begun_path(path))
    undone = f"The checkpoint of {record.text} that a killed task had begun was undone: the process is running."
    lives = record.is_alive(ctx.paths)
    whole = None if lives or record.pre_dump else _whole(partial, record)
    if whole is None and not lives and not record.pre_dump and inventory_hash(partial):
        return Found(_now(path), unfinished=True)  # damaged, and perhaps the only copy: for a person
    if whole is None:
        said = undone if lives and os.path.lexists(partial) else ""
        return Found(_now(path), (*tidy_steps(path), end), said)
    copy = find_copy(ctx.paths, whole, root=ctx.is_root)
    tried = tuple(end_step(one) for one in begun_paths(ctx.paths, partial, whole.digest, root=ctx.is_root)[1:])
    if copy is None:
        said = f"The checkpoint of {record.text} that a killed task had begun was completed in {path!r}."
        return Found(whole, (*tried, *complete_steps(path, whole.record or record)), said, saved=True)
    # The killed task had brought the process back from them.
    own = replace(options, images_path=partial, parent_path=None)
    proof = _proof(ctx, own, whole, copy.process)
    checked = () if copy.proved else proof.steps()
    return Found(_now(path), (*checked, *tried, *tidy_steps(path), end), undone, proof=None if copy.proved else proof)


def _restoring(ctx: Context, options: ProcessOptions, begun: Begun) -> Found:
    images = _now(options.images_path)
    process = restored_by(ctx.paths, begun, images) if images is not None else None
    unit = begun.facts.get("unit", "")
    if unit and ctx.is_root and process is None and not read_pid(begun.facts.get("pid_file", "")):
        refuse_active(ctx, options.images_path, unit)
    if images is None or process is None:
        known = begun_paths(ctx.paths, options.images_path, begun.facts.get("inventory", ""), root=ctx.is_root)
        return Found(images, tuple(end_step(one) for one in reversed(known)))
    accepted = replace(options, on_label_mismatch=begun.facts.get("on_label_mismatch", "stop"))
    proof = _proof(ctx, options if options.restores else accepted, images, process)
    said = f"The restore of {process.text} that a killed task had begun was completed: it is running."
    return Found(images, proof.steps(), said, proof=proof)


def refuse_active(ctx: Context, path: str, name: str) -> None:
    """Refuses while systemd may still be restoring.

    Raises:
        CheckpointError: unit_running.
    """
    unit = read_unit(ctx.runner, name)
    if unit.active:
        raise CheckpointError(
            f"Cannot work on the images {path!r}: a restore from them into the unit {name!r} was cut off, and the unit "
            f"is {unit.state}. Wait until it has started, or stop it first.",
            reason="unit_running",
            pid=unit.pid,
        )


def settle(ctx: Context, options: ProcessOptions, begun: Begun | None) -> Found:
    """Looks at the images and at what has begun with them.

    Raises:
        CheckpointError: busy, restore_unclear, unit_running, images_invalid.
    """
    path = options.images_path
    if begun is not None:
        # Few tasks find that an earlier one has died: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._process.at_work import refuse_at_work

        refuse_at_work(ctx.paths, path, partial_path(path))
    if begun is not None and begun.action == "removing":
        there = (path, partial_path(path), old_path(path), work_path(path))
        steps = tuple(Remove(one, why="remove the images") for one in there if os.path.lexists(one))
        return Found(None, steps, f"The removal of {path!r} that a killed task had begun was completed.")
    record = dumped_process(begun)
    if record is not None:
        return _dumping(ctx, options, record)
    if begun is not None and begun.action == "restoring":
        return _restoring(ctx, options, begun)
    images, unfinished = _now(path), is_unfinished(ctx.paths, path)
    if os.path.lexists(path) or images is None:
        return Found(images, unfinished=unfinished)
    said = f"The images that a killed task had put aside are in {path!r} again."
    back = Rename(old_path(path), path, why="put back the old images at")
    return Found(images, (back,), said, saved=True, unfinished=unfinished)


def is_unfinished(paths: Paths, path: str) -> bool:
    """Returns whether unfinished images, of which no note is left, may be the only copy of a process."""
    partial = partial_path(path)
    whole = _whole(partial, None)
    record = whole.record if whole is not None else None
    return bool(inventory_hash(partial)) and not (record is not None and record.is_alive(paths))


def refuse_partial(found: Found, path: str, what: str) -> None:
    """Refuses while unfinished images may be the only copy of a process.

    Raises:
        CheckpointError: images_partial.
    """
    if found.unfinished:
        partial = partial_path(path)
        raise CheckpointError(
            f"Cannot {what} {path!r}: an earlier checkpoint was interrupted, and {partial!r} may hold the only "
            "copy of a process. Restore it from there (images_path), or remove that folder.",
            reason="images_partial",
            path=partial,
        )
