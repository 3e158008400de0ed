# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Proves that a restored process has the labels in its images, and notes it; also for a restore that was cut off."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Kill, MakeDir, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, boot_id, read_process
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import (
    Pair,
    Thread,
    changed_error,
    compare,
    read_threads,
    read_tree,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import (
    begun_paths,
    note_paths,
    note_text,
    read_pid,
    ticks,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun, begin_steps, end_step
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    pid_file_path,
    read_labels,
    work_path,
)


def labels_before(paths: Paths, images: Images) -> tuple[Thread, ...]:
    """Returns the labels that the restored threads must have; none if the images have those of a different LSM.

    Raises:
        CheckpointError: images_invalid.
    """
    lsm = host_labels(paths).lsm
    if images.inventory.lsm != lsm:
        return ()
    saved = read_labels(images)
    if lsm != "apparmor":
        return saved
    # Hosts with SELinux need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.in_images import with_recorded

    return with_recorded(saved, images.record.profiles if images.record is not None else ())


@dataclass(frozen=True)
class Evidence:
    """What a proof needs. ``before``: the labels at the dump. The images may be read from a temporary name."""

    paths: Paths
    images: Images
    options: ProcessOptions
    selinux: Selinux
    before: tuple[Thread, ...]

    @property
    def path(self) -> str:
        return self.options.images_path

    @property
    def lsm(self) -> str:
        """The LSM whose labels are compared: selinux, apparmor, or none."""
        return host_labels(self.paths).lsm

    @property
    def label(self) -> str:
        return self.before[0].label if self.before else ""

    @property
    def what(self) -> str:
        return f"restore {self.images.text} from {self.path!r}"

    @property
    def pid_file(self) -> str:
        if self.options.is_root:
            return pid_file_path(self.paths, self.path)
        return os.path.join(work_path(self.path), "restored.pid")

    @property
    def statistics_path(self) -> str:
        return os.path.join(work_path(self.path), "stats-restore")

    def begun_paths(self) -> tuple[str, ...]:
        return begun_paths(self.paths, self.path, self.images.digest, root=self.options.is_root)

    def begun(self, unit: str = "", since: str | None = None) -> Begun:
        """Returns the note that the restore begins. ``since``: the earliest start of the process, in ticks."""
        facts = {
            "pid_file": self.pid_file,
            "statistics": self.statistics_path,
            "inventory": self.images.digest,
            "ticks": str(ticks(self.paths)) if since is None else since,
            "unit": unit,
            "on_label_mismatch": self.options.on_label_mismatch,
        }
        return Begun("restoring", self.path, boot_id(self.paths), facts=facts)

    def begin_steps(self, unit: str) -> tuple[Step, ...]:
        begun = self.begun(unit)
        return tuple(step for path in self.begun_paths() for step in begin_steps(path, begun))

    def end_steps(self) -> tuple[Step, ...]:
        """Plans the end of the notes; the one beside the images, where the next task looks first, goes last."""
        return tuple(end_step(path) for path in reversed(self.begun_paths()))


@dataclass
class Proof:
    """What the steps of a proof find: the process, and its labels compared with those in the images.

    ``wrong`` is a difference that the task accepts (on_label_mismatch: warn). ``proved``: the process may keep running.
    """

    work: Evidence
    process: Process | None = None
    pairs: tuple[Pair, ...] = ()
    wrong: CheckpointError | None = None
    proved: bool = False

    def find(self) -> None:
        """Finds the restored process, unless it is known.

        Raises:
            CheckpointError: process_ended.
        """
        if self.process is None:
            pid = read_pid(self.work.pid_file)
            self.process = read_process(self.work.paths, pid) if pid else None
        if self.process is None:
            raise CheckpointError(
                f"Cannot {self.work.what}: it ended right after the restore. Read its own log.", reason="process_ended"
            )

    def prove(self) -> None:
        """Compares the label of every thread with the one in the images.

        Raises:
            CheckpointError: label_changed.
        """
        work, process = self.work, self.process
        if process is not None and work.before:
            accepted = work.options.on_label_mismatch == "warn"
            then = "It is ended, and its images are kept."
            if accepted:
                then = "It keeps running, because on_label_mismatch is warn."
            labels = host_labels(work.paths)
            threads = read_threads(work.paths, process.pid, labels)
            self.pairs = compare(work.before, threads, work.label)
            if labels.lsm == "apparmor":
                # Hosts with SELinux need not compile this.
                from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.in_images import without_modes

                self.pairs = without_modes(self.pairs)
            self.wrong = changed_error(self.pairs, process.comm, then, kind="Process", lsm=labels.lsm)
            if self.wrong is not None and not accepted:
                raise self.wrong
        self.proved = True

    def pids(self) -> Iterable[int]:
        """Returns the ids of the process and its descendants."""
        paths = self.work.paths
        return read_tree(paths, self.process.pid, host_labels(paths)) if self.process is not None else ()

    def note(self) -> str:
        return note_text(self.process, self.work.images, self.work.path)

    def steps(self) -> tuple[Step, ...]:
        """Plans the proof and the note of it, for a process that CRIU has restored."""
        work = self.work
        notes = note_paths(work.paths, work.path, work.images.digest, root=work.options.is_root)
        return (
            Check(self.find, why="find the restored process"),
            Check(self.prove, why="compare the labels", undo=(Kill(self.pids, why="end what has the wrong label"),)),
            *(
                step
                for path in notes
                for step in (
                    MakeDir(os.path.dirname(path), why="make the folder"),
                    WriteFile(path, self.note, why="note what was restored in"),
                )
            ),
            *work.end_steps(),
        )

    def word(self) -> str:
        """Returns what the comparison of labels is worth."""
        lsm = self.work.lsm
        if lsm == "none":
            return "selinux_disabled"
        if self.wrong is not None:
            return "label_changed"
        if not self.work.before:
            return "label_unknown"
        return self.work.selinux.mode if lsm == "selinux" else lsm
