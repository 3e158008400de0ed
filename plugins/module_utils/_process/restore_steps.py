# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans a restore from the boolean that it needs to the proof of the labels, as the steps of one plan."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Check,
    Command,
    Kill,
    MakeDir,
    Remove,
    Step,
    Wait,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, read_process
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import Loan, borrow
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
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_unit import START_SECONDS, start_steps
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    note_path,
    pid_file_path,
    work_path,
)


@dataclass(frozen=True)
class Restore:
    """What a restore is planned from. ``before``: the labels in the images; ``loan``: None without root."""

    paths: Paths
    images: Images
    options: ProcessOptions
    criu: Criu
    selinux: Selinux
    before: tuple[Thread, ...]
    unit: Unit | None
    loan: Loan | None

    @property
    def label(self) -> str:
        return self.before[0].label if self.before else ""

    @property
    def what(self) -> str:
        return f"restore {self.images.text} from {self.images.path!r}"

    @property
    def pid_file(self) -> str:
        path = self.images.path
        if self.options.is_root:
            return pid_file_path(self.paths, path)
        return os.path.join(work_path(path), "restored.pid")

    @property
    def statistics_path(self) -> str:
        return os.path.join(work_path(self.images.path), "stats-restore")


@dataclass
class Restored:
    """What the steps of a restore find: the process, and its labels compared with those in the images.

    ``wrong`` is a difference that the task accepts (on_label_mismatch: warn). ``proved``: the process may keep running.
    """

    work: Restore
    runner: Runner
    process: Process | None = None
    pairs: tuple[Pair, ...] = ()
    wrong: CheckpointError | None = None
    proved: bool = False

    def explain(self, error: CheckpointError) -> CheckpointError:
        """Returns the failure of CRIU as the task reports it."""
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._process.failure import read_failure

        programs = (self.work.criu.path, "systemctl", "systemd-run")
        failure = read_failure(self.work.paths, error, self.work.images.path, "restore", programs)
        return failure.told(self.work.what, "The images are unchanged.")

    def job_is_restored(self) -> bool:
        """Returns whether a CRIU that stays has written its statistics, as it does on success.

        Raises:
            CheckpointError: it has ended instead.
        """
        if os.path.exists(self.work.statistics_path):
            return True
        name = self.work.unit.name if self.work.unit else ""
        check(self.runner.run(("systemctl", "is-active", "--quiet", name)), f"restore into the unit {name!r}")
        return False

    def find(self) -> None:
        """Finds the restored process.

        Raises:
            CheckpointError: process_ended.
        """
        text = (read_text(self.work.pid_file) or "").strip()
        self.process = read_process(self.work.paths, int(text)) if text.isdigit() else None
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
        if process is not None and work.selinux.enabled and work.before:
            accepted = work.options.on_label_mismatch == "warn"
            then = "It is ended, and its images are kept."
            if accepted:
                then = "It keeps running, because on_label_mismatch is warn."
            threads = read_threads(work.paths, process.pid, host_labels(work.paths))
            self.pairs = compare(work.before, threads, work.label)
            self.wrong = changed_error(self.pairs, process.comm, then, kind="Process")
            if self.wrong is not None and not accepted:
                raise self.wrong
        self.proved = True

    def pids(self) -> Iterable[int]:
        """Returns the ids of the process and its descendants."""
        paths = self.work.paths
        return read_tree(paths, self.process.pid, host_labels(paths)) if self.process is not None else ()

    def note(self) -> str:
        """Returns the text of the note that identifies the process as restored from these images."""
        pid, start, boot = self.process.identity if self.process is not None else (0, "", "")
        return json.dumps({"pid": pid, "start": start, "boot": boot, "inventory": self.work.images.digest}) + "\n"


def restore_argv(work: Restore) -> tuple[str, ...]:
    """Returns the argument list of criu restore."""
    images = work.images
    inherit: tuple[str, ...] = ()
    mode = "ignore"
    if work.unit is None:
        cgroup = images.record.cgroup if images.record else ""
        # CRIU would create a missing cgroup, without systemd knowing of it.
        if cgroup.strip("/") and os.path.isdir(f"{work.paths.cgroups}{cgroup}"):
            mode = "soft"
    else:
        known = images.record.inherit if images.record else ()
        inherit = tuple(word for number, inode in known for word in ("--inherit-fd", f"fd[{number}]:socket:[{inode}]"))
    return (
        work.criu.path,
        "restore",
        *work.options.common_flags(images.path, "restore.log"),
        *(() if work.options.terminal else ("--restore-detached",)),
        "--pidfile",
        work.pid_file,
        f"--manage-cgroups={mode}",
        *inherit,
        *(word for one in work.options.external for word in ("--external", one)),
    )


def criu_steps(back: Restored) -> tuple[Step, ...]:
    """Plans CRIU's part: by itself, by systemd, or as a job that stays."""
    work, argv = back.work, restore_argv(back.work)
    if work.unit is None:
        what = f"restore {work.images.text}"
        return (Command(argv, why=what, cwd="/", finish=True, explain=back.explain),)
    steps = start_steps(work.paths, work.unit, argv, work.pid_file, work.options.terminal, back.explain)
    if work.options.terminal is None:
        return steps
    # Systemd has only started CRIU, which needs the boolean until the restore is complete.
    what = f"restore into the unit {work.unit.name!r}"
    wait = Wait(back.job_is_restored, START_SECONDS, why=what, advice="Stop the unit.", explain=back.explain)
    return (*steps, wait)


def restore_steps(back: Restored) -> tuple[Step, ...]:
    """Plans the restore, with the boolean on around CRIU's part, then the proof and the note."""
    work, steps = back.work, criu_steps(back)
    if work.loan is not None:
        steps = borrow(steps, work.selinux, work.loan, work.label)
    return (
        MakeDir(work_path(work.images.path), why="make the folder of the log"),
        MakeDir(os.path.dirname(work.pid_file), why="make the folder of the pid"),
        Remove(work.pid_file, why="remove the old pid"),
        Remove(work.statistics_path, why="remove the old statistics"),
        *steps,
        Check(back.find, why="find the restored process"),
        Check(back.prove, why="compare the labels", undo=(Kill(back.pids, why="end what has the wrong label"),)),
        WriteFile(note_path(work.images.path), back.note, why="note what was restored in"),
    )
