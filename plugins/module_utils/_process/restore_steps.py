# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans a restore from the boolean that it needs to the proof of the labels, as the steps of one plan."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Step, Wait
from ansible_collections.criu.hosts.plugins.module_utils._criu.binary import Criu
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import limited, seconds_for
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import folder_bytes
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loan import Loan, borrow
from ansible_collections.criu.hosts.plugins.module_utils._process.proof import Evidence, Proof
from ansible_collections.criu.hosts.plugins.module_utils._process.restore_unit import START_SECONDS, start_steps
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import work_path


@dataclass(frozen=True)
class Restore(Evidence):
    """What a restore is planned from. ``loan``: None without root."""

    criu: Criu
    unit: Unit | None
    loan: Loan | None


@dataclass
class Restored:
    """What the steps of a restore find."""

    work: Restore
    runner: Runner
    proof: Proof = field(init=False)

    def __post_init__(self) -> None:
        self.proof = Proof(self.work)

    def explain(self, error: CheckpointError) -> CheckpointError:
        """Returns the failure of CRIU as the task reports it."""
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._process.failure import read_failure

        programs = (self.work.criu.path, "systemctl", "systemd-run")
        failure = read_failure(self.work.paths, error, self.work.path, "restore", programs)
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
        *work.options.common_flags(work.path, "restore.log"),
        *(() if work.options.terminal else ("--restore-detached",)),
        "--pidfile",
        work.pid_file,
        f"--manage-cgroups={mode}",
        *inherit,
        *(("--ext-unix-sk",) if work.options.unix_sockets else ()),
        *(word for one in work.options.external for word in ("--external", one)),
    )


def criu_steps(back: Restored) -> tuple[Step, ...]:
    """Plans CRIU's part: by itself, by systemd, or as a job that stays."""
    work, argv = back.work, restore_argv(back.work)
    if work.unit is None:
        what = f"restore {work.images.text}"
        command = (Command(argv, why=what, cwd="/", finish=True, explain=back.explain),)
        return limited(command, folder_bytes(work.path))
    seconds = max(START_SECONDS, seconds_for(folder_bytes(work.path)))
    steps = start_steps(work.paths, work.unit, argv, work.pid_file, work.options.terminal, back.explain, seconds)
    if work.options.terminal is None:
        return steps
    # Systemd has only started CRIU, which needs the boolean until the restore is complete.
    what = f"restore into the unit {work.unit.name!r}"
    wait = Wait(back.job_is_restored, seconds, why=what, advice="Stop the unit.", explain=back.explain)
    return (*steps, wait)


def restore_steps(back: Restored) -> tuple[Step, ...]:
    """Plans the restore, with the boolean on around CRIU's part, then the proof and the note."""
    work, steps = back.work, criu_steps(back)
    if work.loan is not None:
        steps = borrow(steps, work.selinux, work.loan, work.label)
    return (
        MakeDir(work_path(work.path), why="make the folder of the log"),
        MakeDir(os.path.dirname(work.pid_file), why="make the folder of the pid"),
        # Before the note: what it names is of the restore that begins.
        Remove(work.pid_file, why="remove the old pid"),
        Remove(work.statistics_path, why="remove the old statistics"),
        *work.begin_steps(work.unit.name if work.unit is not None else ""),
        *steps,
        *back.proof.steps(),
    )
