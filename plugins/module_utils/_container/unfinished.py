# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Completes or undoes what a task that has died had begun on a container, or on an archive."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._container.notes import (
    created_since,
    end,
    known_record,
    removal,
    written_since,
)
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore, carry_out
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_health import health_steps
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_options import other_options
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_source import Situation
from ansible_collections.criu.hosts.plugins.module_utils._container.restore_steps import last_steps, proof_steps
from ansible_collections.criu.hosts.plugins.module_utils._container.status import NOT_RUN
from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_archive import (
    left_advice,
    read_unfinished,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, Options
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import borrow, read_loan
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import read_selinux
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun
from ansible_collections.criu.hosts.plugins.module_utils._store.record import (
    Record,
    place_record_path,
    place_records_dir,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import pipe_path
from ansible_collections.criu.hosts.plugins.module_utils._store.working import is_working

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.settle import Settled


def settle_note(settled: Settled, note: Begun) -> None:
    """Settles what the note says has begun."""
    ctx = settled.ctx
    # Without steps to surround, this switches off a boolean that the task has left on.
    settled.do(*borrow((), read_selinux(ctx.paths), read_loan(ctx.paths), ""))
    if note.action == "dumping" and note.facts.get("image"):
        # Few tasks have an image: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.unfinished_image import settle_image

        settle_image(settled, note)
    if note.action == "dumping":
        _dumping(settled, note)
    elif note.action == "restoring":
        _restoring(settled, note)
    elif note.action == "removing":
        _removing(settled, note)
    settled.do(*end(ctx.paths, settled.held.desired.target))


def settle_archive(settled: Settled, path: str) -> None:
    """Completes an archive that podman has written whole, or removes the beginning of one.

    Raises:
        CheckpointError: archive_partial.
    """
    container, name = settled.container, settled.held.desired.target

    def stamp_of(record: Record) -> str | None:
        box = container if record.name == name else settled.engine.inspect(settled.ctx, record.name)
        if box is None or box.id != record.id:
            return ""
        return box.stamp if box.checkpointed and not box.alive and box.stamp else None

    found = read_unfinished(settled.engine, path, stamp_of)
    if found.kept:
        raise CheckpointError(
            f"Cannot work on container {name!r}: an earlier task died when it encrypted its archive, and the container "
            f"is gone. {left_advice(found.kept)}",
            reason="archive_partial",
            path=found.kept,
        )
    settled.do(Remove(pipe_path(path), why="remove the pipe"), *found.steps)
    if found.record is not None:
        settled.archived[path] = found.record
    if found.record is not None and not is_working(path):
        settled.warn(
            f"An earlier task died when it wrote {path!r}, an archive of container {found.record.name!r}. This task "
            "has completed the archive and its record."
        )


def _dumping(settled: Settled, note: Begun) -> None:
    engine, box, facts = settled.engine, settled.container, note.facts
    if box is None or box.id != facts.get("id"):
        return
    made = box.stamp not in ("", facts.get("stamp"))
    if box.alive and box.run != facts.get("run"):
        if box.restored_at and made:  # the task was bringing it back after a failed export
            _prove(settled, note, box, "container", keep=False)
        return
    if not box.alive and made:
        _keep_place(settled, note, box)
        return
    thaw = engine.thaw_steps(box) if box.running else ()
    if thaw:
        settled.do(*thaw)
        settled.warn(
            f"An earlier task died when it checkpointed container {box.name!r}. It was frozen, and runs on now."
        )
    left = written_since(engine.checkpoint_files(box), float(facts.get("since") or 0))
    if facts.get("chain"):
        # Few tasks have a pre-checkpoint: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._container.chain import spent_images

        left = spent_images(engine, box, left)
    if left or made:
        used = Options(with_previous=bool(facts.get("chain")))
        files = engine.leftovers(box, used) if made else left
        settled.do(*removal(engine, box, files, box.stamp, "remove the images of the unfinished dump"))
        settled.container = replace(box, stamp="" if engine.images_dir(box) in files else box.stamp)
        settled.warn(
            f"An earlier task died when it checkpointed container {box.name!r}. This task has removed the images of "
            "that dump, which is not needed or not complete."
        )


def _keep_place(settled: Settled, note: Begun, box: Container) -> None:
    """Records the checkpoint in place that has ended the container; restores it if the dump's task had failed."""
    paths, known = settled.ctx.paths, known_record(settled.ctx.paths, note.thing)
    if known is not None:
        settled.record = replace(known, stamp=box.stamp, checkpointed_at=note.began)
        text, place = render_record(settled.record), place_record_path(paths, box.id)
        folder = MakeDir(place_records_dir(paths), why="make the folder")
        settled.do(folder, WriteFile(place, text, why="write the record"))
    if box.checkpointed or settled.task != "checkpoint" or note.facts.get("leave_running"):
        settled.warn(
            f"An earlier task died after it had checkpointed container {box.name!r}. The checkpoint is complete, and "
            "this task has completed its record."
        )
        return
    options = replace(settled.held.desired.options, keep=False, leave_running=False)
    options = replace(
        options,
        tcp_established=bool(note.facts.get("tcp_established")),
        file_locks=bool(note.facts.get("file_locks")),
    )
    situation = Situation(box, settled.record, read_selinux(settled.ctx.paths))
    work = Restore(settled.ctx, settled.engine, Desired(box.name, None, options), situation, "container")
    settled.steps = (*settled.steps, *carry_out(work).steps)
    settled.warnings = (*settled.warnings, *work.warnings)
    settled.record = None
    settled.container = replace(box, status="running", pid=0, stamp="")
    if work.container is not None:  # unlike in check mode
        settled.container = settled.engine.inspect(settled.ctx, box.name)
    settled.warn(
        f"An earlier task died when the checkpoint of container {box.name!r} had failed. This task has restored the "
        "container from what that dump had saved."
    )


def _restoring(settled: Settled, note: Begun) -> None:
    ctx, box, facts = settled.ctx, settled.container, note.facts
    if facts.get("source") == "container":
        if box is None or box.id != facts.get("id") or not facts.get("stamp"):
            return
        if not box.alive or not box.restored_at or box.run == facts.get("run"):
            return
        if box.stamp == facts.get("stamp"):
            _prove(settled, note, box, "container", keep=bool(facts.get("keep")))
        elif not box.stamp:
            # The removal of the used checkpoint, which is the end of a restore, begins with its images.
            files = (*settled.engine.checkpoint_files(box), place_record_path(ctx.paths, box.id))
            settled.do(*removal(settled.engine, box, filter(os.path.lexists, files), ""))
        return
    if box is not None and not _is_import(note, box):
        return
    if box is not None and box.alive:
        _prove(settled, note, box, "image" if facts.get("image") else "archive", keep=False)
        return
    if box is not None and box.status not in NOT_RUN:
        return
    left: list[Step] = []
    if box is not None:
        left += settled.engine.remove_steps(box.id, "remove what the unfinished restore has left")
    for name in facts.get("volumes", "").split():
        if settled.engine.has_volume(name):
            left += settled.engine.remove_volume_steps(name, f"remove the volume {name!r} of the unfinished restore")
    settled.container = None
    if left:
        settled.do(*left)
        origin = facts.get("image") or facts.get("archive_path")
        settled.warn(
            f"An earlier task died when it restored container {note.thing!r} from {origin!r}. This "
            "task has removed what that restore had left."
        )


def _is_import(note: Begun, box: Container) -> bool:
    """Returns whether the container is the one that the restore has made; there was none of this name before it."""
    known = note.facts.get("id")
    return box.id == known if known else created_since(box, float(note.facts.get("since") or 0))


def _prove(settled: Settled, note: Begun, box: Container, source: str, *, keep: bool) -> None:
    """Makes up for the proof of a restore, and for what follows it."""
    ctx, engine, facts = settled.ctx, settled.engine, note.facts
    archive, image = (facts.get(key) or None for key in ("archive_path", "image"))
    desired = replace(settled.held.desired, archive_path=archive, image=image)
    if settled.task != "restore":
        options = replace(desired.options, keep=keep)
        desired = replace(desired, options=options, on_label_mismatch=facts.get("on_label_mismatch") or "stop")
    known = known_record(ctx.paths, note.thing)
    situation = Situation(box, known, read_selinux(ctx.paths), facts.get("sha256", ""))
    work = Restore(ctx, engine, desired, situation, source)
    settled.do(*proof_steps(work), *health_steps(work), *last_steps(work))
    settled.proved = work
    settled.warnings = (*settled.warnings, *work.warnings)
    if source == "container" and not desired.options.keep:
        settled.container = replace(box, stamp="")
    how = "has compared its labels" if work.lsm != "none" else "has found it running"
    settled.warn(
        f"An earlier task died when it restored container {box.name!r}. This task {how}, and has completed that "
        "restore."
    )
    others = other_options(desired.options, facts) if settled.task == "restore" else ()
    if others:
        kept = ", which the container keeps" if work.imports else ""
        settled.warn(f"That restore had other values of {' and '.join(others)} than this task{kept}.")


def _removing(settled: Settled, note: Begun) -> None:
    engine, box, facts = settled.engine, settled.container, note.facts
    if box is None or box.id != facts.get("id") or box.stamp not in ("", facts.get("stamp")):
        return
    if box.checkpointed and not box.alive:
        return
    files = (*engine.checkpoint_files(box), place_record_path(settled.ctx.paths, box.id))
    settled.do(*removal(engine, box, files, facts.get("stamp", ""), "remove the rest of the checkpoint"))
    settled.removed = True
    settled.container = replace(box, stamp="")
    settled.warn(
        f"An earlier task died when it removed the checkpoint of container {box.name!r}. This task has removed the "
        "rest."
    )
