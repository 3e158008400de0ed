# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes a checkpoint on a pre-checkpoint: finds that, and plans what surrounds the dumps of both.

Podman keeps the images of one pre-checkpoint beside the container, and a checkpoint is made on these (--pre-checkpoint
and --with-previous, libpod/oci_conmon_common.go). From such a dump on, the kernel counts changes of memory from zero:
both OCI runtimes ask CRIU for that (criu_set_track_mem in crun's src/libcrun/criu.c, TrackMem in runc's
libcontainer/criu_linux.go), and CRIU does it before it has written anything (task_reset_dirty_track in criu/mem.c). A
second dump on the same images would lack what had changed before the first one. So an attempt uses a pre-checkpoint up:
its record goes before the dump.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._criu.features import require_tracking
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import read_record, size_of
from ansible_collections.criu.hosts.plugins.module_utils._store.chain import missing
from ansible_collections.criu.hosts.plugins.module_utils._store.pre_record import PreRecord, read_pre_record
from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_record_path
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.record_writer import RecordWriter
    from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record

_AGAIN = "Make one with pre_checkpoint first, or leave with_previous out."


@dataclass(frozen=True)
class Parent:
    """The archive of the pre-checkpoint that a checkpoint is made on; all is empty for one in place.

    ``relative`` is its path from the folder of the new archive.
    """

    path: str = ""
    relative: str = ""
    sha256: str = ""


def note_path(engine: Engine, container: Container) -> str:
    """Returns the path of the record of a pre-checkpoint beside the container."""
    return os.path.join(engine.pre_dump_dir(container), RECORD)


def find_unused(engine: Engine, container: Container) -> PreRecord | None:
    """Returns the complete pre-checkpoint of this run beside the container; None if there is none, or it was used."""
    note = read_pre_record(note_path(engine, container))
    if note is None or (note.id, note.run) != (container.id, container.run):
        return None
    return note if note.stamp == engine.pre_dump_stamp(container) else None


def require_parent(
    ctx: Context, engine: Engine, desired: Desired, container: Container, criu: str, archived: Mapping[str, Record]
) -> Parent | None:
    """Returns the pre-checkpoint for a checkpoint of a running container; None if the task makes one itself.

    ``criu`` is the path of CRIU. ``archived`` are the records of archives that this task has completed: in check mode,
    these are not on disk.

    Raises:
        CheckpointError: memory_tracking_missing, parent_missing, parent_changed.
    """
    require_tracking(ctx.runner, criu, f"checkpoint container {desired.name!r}")
    return find_parent(engine, desired, container, archived) if desired.options.with_previous else None


def find_parent(engine: Engine, desired: Desired, container: Container, archived: Mapping[str, Record]) -> Parent:
    """Returns the pre-checkpoint that a checkpoint of the container can be made on.

    Raises:
        CheckpointError: parent_missing, parent_changed.
    """
    what = f"checkpoint container {desired.name!r} with_previous"
    note = find_unused(engine, container)
    if note is None:
        raise missing(what, "there is no pre-checkpoint of this run of it that no checkpoint was made on yet", _AGAIN)
    if desired.archive_path is None:
        return Parent()
    path = note.archive_path
    if not path:
        why = f"its pre-checkpoint has no archive, without which {desired.place!r} could not be restored"
        raise missing(what, why, "Make one with pre_checkpoint and the same store, or an archive in the same folder.")
    relative = os.path.relpath(path, os.path.dirname(desired.archive_path))
    folder, name = os.path.split(path)
    expected = name if desired.store is None else f"../{os.path.basename(folder)}/{name}"
    if relative != expected or path == desired.archive_path:
        where = "store" if desired.store is not None else "folder"
        raise missing(
            what, f"its pre-checkpoint is {path!r}, which is not a different file in the same {where}", _AGAIN
        )
    _require_same(what, path, note, archived.get(path))
    return Parent(path, relative, note.sha256)


def _require_same(what: str, path: str, note: PreRecord, completed: Record | None) -> None:
    """Refuses an archive that is gone or was replaced. Its digest is compared before a restore."""
    record = completed or read_record(path)
    size = record.size_bytes if completed is not None and record is not None else size_of(path)
    if size is None or record is None:
        raise missing(what, f"the archive of its pre-checkpoint {path!r}, or its record, is missing", _AGAIN, path=path)
    if not record.pre_dump or (record.sha256, record.size_bytes) != (note.sha256, size):
        raise CheckpointError(
            f"Cannot {what}: the archive of its pre-checkpoint {path!r} is not the one that was made. {_AGAIN}",
            reason="parent_changed",
            path=path,
        )


def before_dump(paths: Paths, engine: Engine, desired: Desired, container: Container) -> tuple[Step, ...]:
    """Plans what goes before the dump.

    A checkpoint that was kept in place is gone with the images that it is based on, as with any dump that writes over
    it.
    """
    link = os.path.join(engine.images_dir(container), "parent")
    steps: tuple[Step, ...] = ()
    if desired.options.pre_checkpoint:
        if os.path.lexists(link):
            why = "remove the kept checkpoint that is based on an earlier pre-checkpoint"
            old = (place_record_path(paths, container.id), engine.images_dir(container))
            steps = tuple(Remove(one, why=why) for one in old)
        # CRIU would leave the memory of processes that have ended since.
        return (*steps, Remove(engine.pre_dump_dir(container), why="remove an earlier pre-checkpoint"))
    if desired.options.with_previous:
        steps = (Remove(note_path(engine, container), why="note that the pre-checkpoint is used"),)
    # CRIU writes over images, but takes this link for its own.
    return (*steps, *((Remove(link, why="remove a link of earlier images"),) if os.path.lexists(link) else ()))


def after_pre_dump(writer: RecordWriter, archive_path: str | None) -> tuple[Step, ...]:
    """Plans to record that the pre-checkpoint is complete; ``archive_path`` is where its archive will be."""

    def text() -> str:
        writer.text()
        record, box = writer.written, writer.container
        if record is None:
            raise AssertionError("text() writes it")
        found = PreRecord(box.id, box.run, writer.stamp, record.checkpointed_at, archive_path or "", record.sha256)
        return render_record(found)

    engine, box = writer.engine, writer.container
    left = engine.leftovers(box, writer.desired.options)
    return (
        WriteFile(note_path(engine, box), text, why="record the pre-checkpoint in"),
        *(Remove(one, why="remove what is beside the pre-checkpoint") for one in left),
    )


def spent_images(engine: Engine, container: Container, written: tuple[str, ...]) -> tuple[str, ...]:
    """Returns what a dump that was cut off has left: the files that it has written, and images of a pre-checkpoint.

    These only if no checkpoint can be made on them: then they are memory without a use.
    """
    folder = engine.pre_dump_dir(container)
    others = tuple(one for one in written if one != folder)
    kept = not os.path.lexists(folder) or find_unused(engine, container) is not None
    return others if kept else (*others, folder)
