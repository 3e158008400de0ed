# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans a dump: the images under a temporary name, then their record, then one rename that puts both in place."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    MakeDir,
    Remove,
    Rename,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import limited
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import tree_memory
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions, log_path
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_unit import ENDING, with_drop_in
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun, begin_steps, end_step
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    begun_path,
    inventory_hash,
    note_path,
    old_path,
    work_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import images_place_steps, partial_path

# The note that a restore begins, its log, its statistics, and the note of what was restored: a file for each.
_ROOM_FILES, _ROOM_BYTES = 5, 16 << 10


@dataclass(frozen=True)
class Based:
    """What a dump is based on: the options with its path, its images, and steps that correct the links to it.

    ``tracking``: the path of the note since when changes of memory are tracked; empty if the dump tracks none.
    """

    options: ProcessOptions
    images: Images | None = None
    links: tuple[Step, ...] = ()
    tracking: str = ""


@dataclass(frozen=True)
class Dump:
    """What a dump is planned from.

    ``inherit``: the process's own connections to the journal. ``threads``: those with a profile of AppArmor.
    ``links`` and ``tracking`` are those of Based.
    """

    paths: Paths
    process: Process
    options: ProcessOptions
    unit: Unit | None
    criu: Criu
    selinux: Selinux
    inherit: tuple[tuple[int, int], ...] = ()
    parent: Images | None = None
    replaced: bool = False
    program: str = ""
    threads: tuple[Thread, ...] = ()
    links: tuple[Step, ...] = ()
    tracking: str = ""

    @property
    def ends(self) -> bool:
        """Returns whether the process is gone after a successful dump."""
        return not (self.options.leave_running or self.options.pre_dump)

    def record(self) -> str:
        """Renders the record, when the images are there."""
        return self.record_of(inventory_hash(partial_path(self.options.images_path)))

    def record_of(self, inventory: str) -> str:
        """Renders the record of images with this digest."""
        return render_record(self.known(inventory))

    def known(self, inventory: str = "") -> ProcessRecord:
        """Returns the record of images with this digest."""
        process, options = self.process, self.options
        return ProcessRecord(
            **process.__dict__,
            inventory=inventory,
            unit=self.unit.name if self.unit else "",
            inherit=self.inherit,
            leave_running=options.leave_running,
            pre_dump=options.pre_dump,
            shell_job=options.shell_job,
            parent=options.parent_path or "",
            parent_inventory=self.parent.digest if self.parent else "",
            checkpointed_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            criu=self.criu.text,
            selinux=self.selinux.mode,
            external=options.external,
            tcp_established=options.tcp_established,
            file_locks=options.file_locks,
            program=self.program,
            profiles=tuple(sorted({one.label for one in self.threads})),
        )

    def begun(self) -> Begun:
        """Returns the note that the dump begins, with the record: the next task may have to write it."""
        facts = {"record": self.record_of(""), "unit": self.unit.name if self.unit is not None else ""}
        return Begun("dumping", self.options.images_path, self.process.boot, facts=facts)


def dump_argv(work: Dump) -> tuple[str, ...]:
    """Returns the argument list of criu dump or pre-dump."""
    options = work.options
    partial = partial_path(options.images_path)
    # Relative, so that the images can be moved together; in a store, they are as deep before and after their rename.
    parent = os.path.relpath(options.parent_path, partial) if options.parent_path else ""
    return (
        work.criu.path,
        "pre-dump" if options.pre_dump else "dump",
        "--tree",
        str(work.process.pid),
        *options.common_flags(partial, "dump.log"),
        *(("--leave-running",) if options.leave_running and not options.pre_dump else ()),
        *(("--track-mem",) if options.tracks else ()),
        *(("--prev-images-dir", parent) if parent else ()),
        *(word for dummy_fd, inode in work.inherit for word in ("--external", f"unix[{inode}]")),
        *(word for one in options.external for word in ("--external", one)),
    )


def reserve_steps(partial: str) -> tuple[Step, ...]:
    """Plans to keep room for the record, and for the notes and the log of a restore if the dump fails at its end.

    Once CRIU has ended the process, a full disk must not keep it in images that no task can complete. The room is where
    such a restore has its log, which each task that undoes or completes a dump removes.
    """
    folder = work_path(partial)
    files = (os.path.join(folder, f"room-{number}") for number in range(_ROOM_FILES))
    return (
        MakeDir(folder, why="make the folder of the room"),
        *(WriteFile(path, "\n" * _ROOM_BYTES, why="keep room for the record") for path in files),
    )


def tracking_steps(work: Dump) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Plans the notes since when changes of memory are tracked, before the dump and after it."""
    if not work.tracking:
        return (), ()
    # Few dumps do that: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._process.tracking import begin_steps, end_steps

    return begin_steps(work.tracking), end_steps(work.tracking, work.options.images_path, ends=work.ends)


def dump_steps(work: Dump) -> tuple[Step, ...]:
    """Plans the whole dump. The old images stay until the new ones are in place."""
    path = work.options.images_path
    partial, old = partial_path(path), old_path(path)
    command: tuple[Step, ...] = (Command(dump_argv(work), why=f"checkpoint {work.process.text}", cwd="/", finish=True),)
    command = limited(command, tree_memory(work.paths, work.process.pid))
    if work.unit is not None and work.ends:
        command = with_drop_in(work.paths, work.unit.name, ENDING, command)
    track, tracked = tracking_steps(work)
    return (
        *work.links,
        *begin_steps(begun_path(path), work.begun()),
        Remove(partial, why="remove what an earlier attempt left"),
        *images_place_steps(partial),
        *reserve_steps(partial),
        Remove(log_path(path, "checkpoint"), why="remove the old log"),
        *track,
        *command,
        Remove(work_path(partial), why="free the room for the record"),
        WriteFile(os.path.join(partial, RECORD), work.record, why="write the record"),
        *((Rename(path, old, why="put aside the old images"),) if work.replaced else ()),
        Rename(partial, path, mode=0o600, why="put the images in place at"),
        *tracked,
        Remove(old, why="remove the old images"),
        Remove(note_path(path), why="remove the note of a restore"),
        end_step(begun_path(path)),
    )
